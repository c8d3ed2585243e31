"""Engines: each answers what the p-value of a line and an event is, with the guarantee that it earns."""
