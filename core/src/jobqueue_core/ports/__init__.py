"""What the product asks of the outside world, as protocols; each has one real adapter and one fake."""
