"""The message queue on Amazon SQS."""
