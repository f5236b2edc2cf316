from __future__ import annotations

from build_fixtures import isolated, links, load, site

__all__ = ["isolated", "links", "load", "site"]
