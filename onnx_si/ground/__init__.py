"""What needs no model: types, intervals, layouts, files, the machine, draws."""
