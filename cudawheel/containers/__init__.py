"""Builds in manylinux containers: a recipe becomes cibuildwheel's options, and cibuildwheel does the rest.

There is no second way of building here: which container, what runs in it, and how a wheel is repaired and tried is
cibuildwheel's part; what the wheel has to be is the recipe's; and the audit is the one that every wheel passes.
"""
