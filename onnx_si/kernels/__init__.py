"""Numerical work that several families of ops share."""
