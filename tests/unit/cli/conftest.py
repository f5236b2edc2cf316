from __future__ import annotations

from build_fixtures import isolated, links, load, shared_environments, site

__all__ = ["isolated", "links", "load", "shared_environments", "site"]
