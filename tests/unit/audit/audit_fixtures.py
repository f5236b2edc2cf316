"""What the fixtures of these tests are called with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SOURCE = """
#include <stdio.h>
extern int other(void);
extern int maybe(void) __attribute__((weak));
__attribute__((visibility("hidden"))) int hidden(void) { return 1; }
int given(void) { return printf("%d", other() + (maybe ? maybe() : hidden())); }
"""

Compile = Callable[..., Path]
MakeWheel = Callable[..., Path]
