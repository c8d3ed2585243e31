"""Results as pages that need nothing else: no server, no network, no other file but an audit's pictures."""
