"""Sources, build environment and the package's own backend: one variant in, one wheel out."""
