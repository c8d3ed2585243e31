"""The walker over a bound graph and the value domains that it carries."""
