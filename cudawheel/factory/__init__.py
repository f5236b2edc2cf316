"""The whole way of one wheel: recipe, plan, source, build, audit, store. Drives the rooms and holds none of their work."""
