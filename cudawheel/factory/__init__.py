"""The whole way of one wheel, from recipe to store: drives the other rooms and does none of their work."""
