"""Do two programs give the same p-values on small cases?"""
