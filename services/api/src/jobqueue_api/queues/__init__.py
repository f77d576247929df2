"""What each queue holds and how fast it moves."""
