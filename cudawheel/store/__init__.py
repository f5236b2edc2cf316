"""The cache of proven wheels: content-addressed, atomic, locked, verified on read."""
