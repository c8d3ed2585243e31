"""The certified domain: a centre, a slope and a radius on every cell."""
