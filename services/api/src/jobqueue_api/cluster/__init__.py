"""What the API does in a Kubernetes cluster: knows the queues of JobQueues, and wakes the operator."""
