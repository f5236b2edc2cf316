from __future__ import annotations

from build_fixtures import isolated, jobserver, links, load, site

__all__ = ["isolated", "jobserver", "links", "load", "site"]
