"""A real Kubernetes API server for tests, without nodes: found or started, and what tests do with it."""
