"""Tensors that are sums of polynomials, and of these times smooth functions of such sums, between knots."""
