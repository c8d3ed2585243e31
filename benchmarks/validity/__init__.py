"""Level, coverage and power by simulation."""
