"""Verification: what a wheel computes, held against references that are independent of it."""
