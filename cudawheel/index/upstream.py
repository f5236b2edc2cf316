"""Another index behind ours, asked only for names that are not ours.

`simple-repository` speaks to it and reads what it answers in either representation. The merge itself is not by version
but by name: whoever asks here has made sure that the name is not one of ours, in any spelling (see `app`).
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Any

from packaging.utils import canonicalize_name
from typing_extensions import Self

from cudawheel.errors import ExtraMissingError
from cudawheel.index.pages import Link

_SECONDS = 30.0


class UpstreamError(Exception):
    """The upstream index does not answer, or not with a page; what is ours is served all the same."""


class Upstream:
    """An upstream index; to be entered by `async with` in the event loop that uses it.

    Args:
        url: its simple API, as pip's `--index-url` has it.

    Raises:
        ExtraMissingError: simple-repository is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import httpx  # noqa: PLC0415 - an extra; served without it where there is no upstream
            from simple_repository import errors  # noqa: PLC0415
            from simple_repository.components.http import HttpRepository  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissingError(
                "an upstream index needs simple-repository, and it is not installed",
                why=str(error),
                extra="index",
                otherwise="leave --upstream out; it needs Python 3.11 or later.",
            ) from error
        self._absent = errors.PackageNotFoundError
        self._client = httpx.AsyncClient(follow_redirects=True, timeout=_SECONDS)
        self._repository = HttpRepository(url, http_client=self._client)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def find(self, name: str) -> tuple[tuple[str, ...] | None, tuple[Link, ...]] | None:
        """Give the versions, where it says them, and the files of a project; None where it has none of that name.

        Args:
            name: normalised.

        Raises:
            UpstreamError: it does not answer, or answers something else than a page.
        """
        try:
            page = await self._repository.get_project_page(name)
            if canonicalize_name(page.name) != name:
                raise UpstreamError(f"asked for {name}, it answers with {page.name!r}")  # noqa: TRY301
            links = tuple(_to_link(file) for file in page.files)
        except self._absent:
            return None
        except UpstreamError:
            raise
        except Exception as fault:  # whatever another server's answer can break in a parser
            cause = fault.__cause__ or fault
            raise UpstreamError(f"{type(cause).__name__}: {cause}".strip(": ")) from fault
        sized = all(link.size is not None for link in links)
        return (tuple(sorted(page.versions)) if page.versions is not None and sized else None), links


def _to_link(file: Any) -> Link:  # noqa: ANN401 - simple_repository.model.File, of an extra
    metadata = file.dist_info_metadata
    return Link(
        name=str(file.filename),
        url=str(file.url),
        hashes=dict(file.hashes),
        requires_python=file.requires_python or "",
        metadata=None if metadata is None or metadata is False else {} if metadata is True else dict(metadata),
        yanked=None if file.yanked is None or file.yanked is False else "" if file.yanked is True else str(file.yanked),
        size=file.size,
        uploaded=_moment(file.upload_time),
    )


def _moment(uploaded: datetime | None) -> str:
    return "" if uploaded is None else f"{uploaded:%Y-%m-%dT%H:%M:%S}.{uploaded.microsecond:06d}Z"
