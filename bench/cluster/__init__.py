"""Benchmarks of the operator and of the API's wake, against a real control plane without nodes."""
