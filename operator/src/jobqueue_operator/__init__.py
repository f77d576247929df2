"""The operator: how many workers a queue needs, and whoever runs them."""
