"""The exact domain: tensors that are piecewise linear on the line."""
