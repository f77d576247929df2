"""A sample external service: answers 200, 500, 429 and late, by a seed."""
