"""Drafting recipes: what a package's source says about how it is built, read and never run."""
