"""Pure values: no I/O, no environment. Every other room speaks in these."""
