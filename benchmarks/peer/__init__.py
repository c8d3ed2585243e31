"""How a question is put to a program, ours or the peer's, and what its networks are built of."""
