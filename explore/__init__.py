"""Which accelerator for a model, a memory and a budget: sweeps, fronts, and a recommendation with its reasons."""
