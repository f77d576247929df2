"""The operator in a cluster: one controller a JobQueue, driven by levels, not by events."""
