"""A model bound to an image: one instruction for every tensor that changes with it."""
