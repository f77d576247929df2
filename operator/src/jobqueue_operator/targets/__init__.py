"""Where workers run: one module for each kind of scale target."""
