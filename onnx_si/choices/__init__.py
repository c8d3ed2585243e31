"""What a user may choose by name, one record each; the rooms that do it attach the work to the record."""
