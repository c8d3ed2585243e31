"""What can be said about a model without testing, and the model with its map as an output."""
