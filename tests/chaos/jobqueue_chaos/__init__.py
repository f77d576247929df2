"""Kills, starves and confuses the real processes, and then accounts for every job."""
