"""Settings: the model, its sources in order, its rules and its reference."""
