"""The private package index of a wheelhouse, served live or exported as static files."""
