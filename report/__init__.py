"""One page that tells all about a model on an accelerator: what it is, costs, does, and how that was checked."""
