"""The real ends of the ports: MongoDB, SQS, Secrets Manager."""
