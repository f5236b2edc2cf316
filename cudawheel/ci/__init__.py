"""Workflows for CI services, whose matrix is the plan: values in, the text of a YAML file out."""
