"""Failed jobs: looked at, grouped by what went wrong, and run again."""
