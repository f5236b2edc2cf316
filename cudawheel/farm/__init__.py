"""Cells of a matrix on the machines of a Dask cluster; wheels travel through a shared store, never the scheduler."""
