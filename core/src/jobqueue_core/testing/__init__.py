"""Fakes of the ports, for tests of this product and of what is built on it."""
