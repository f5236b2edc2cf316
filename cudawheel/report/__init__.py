"""The report: one HTML page of everything that a wheelhouse holds, and of everything that is known about it."""
