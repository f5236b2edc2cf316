"""Reading wheels, checking their RECORD, and rewriting them so that the same input gives the same bytes."""
