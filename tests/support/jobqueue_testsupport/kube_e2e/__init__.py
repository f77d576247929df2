"""The system on a real Kubernetes node, as its tests install, drive and watch it."""
