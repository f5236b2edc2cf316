"""Who built a wheel out of what: in-toto statements, signed, and checked without any network."""
