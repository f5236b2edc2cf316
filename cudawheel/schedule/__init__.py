"""Memory and cores: what all builds together may use, which compiler gets how much of it, and what becomes of that."""
