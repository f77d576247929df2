"""The rules of the product as pure functions of plain values: no I/O, no clock, no settings."""
