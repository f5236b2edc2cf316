"""Diagnoses: pure functions from what was found to findings."""
