"""Memory and cores: what a build may use, and what it does use."""
