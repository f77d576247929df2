"""What is seen of queues: counts, jobs that wait, workers and what they have done."""
