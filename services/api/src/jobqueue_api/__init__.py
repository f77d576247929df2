"""The REST API of the job queue."""
