"""Recipe x matrix -> accepted and rejected variants, each rejection with its reason."""
