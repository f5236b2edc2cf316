"""References in float64 that share no code and no table with the kernels they are held against."""
