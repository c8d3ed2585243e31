"""The plainest domain: a tensor at single points of the line."""
