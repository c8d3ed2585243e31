"""What answers 'the p-value of this line and event' besides the exact search."""
