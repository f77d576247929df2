"""The protocol as a model: the real parts on fakes, one step of one process at a time."""
