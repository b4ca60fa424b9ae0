"""Golden model, cycle model and co-simulation."""
