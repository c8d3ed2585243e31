"""One test, from a model and an image to a result."""
