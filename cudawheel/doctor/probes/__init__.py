"""Probes: each looks at one side of a `World` and gives a value. None of them judges."""
