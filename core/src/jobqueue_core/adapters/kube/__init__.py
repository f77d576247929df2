"""The API server of a Kubernetes cluster."""
