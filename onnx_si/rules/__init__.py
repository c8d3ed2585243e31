"""What an op does to values on the line, and the registry of the handlers that say so."""
