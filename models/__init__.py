"""Model shapes, checkpoints, weight packing and the shipped model."""
