"""The worker of the job queue."""
