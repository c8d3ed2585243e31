"""The model as it is deployed, and as this package evaluates it."""
