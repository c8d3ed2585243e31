"""The smooth domain: a tensor on a cell is a polynomial and a remainder, rounding included."""
