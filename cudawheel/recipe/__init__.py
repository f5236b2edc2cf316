"""Recipes: what a package needs to become wheels, read from TOML and checked as a whole."""
