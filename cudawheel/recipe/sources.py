"""Where the code of a package comes from. Every kind is pinned: by commit, by hash, or by lying beside the recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cudawheel.recipe.fields import FileUrl, GitCommit, GitUrl, Label, PackageName, PackageVersion, RelativePath, Sha256
from cudawheel.recipe.settings import BuildOverrides
from cudawheel.recipe.verification import KnownDefect


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    label: Label
    """Short name for messages, `--source` and the local version of a fallback."""
    build: BuildOverrides = BuildOverrides()
    """What this source needs otherwise than the recipe's `[build]`."""
    known_defects: tuple[KnownDefect, ...] = Field(default=(), alias="known-defects")
    """Checks of the suite that wheels of this source are known to fail."""


class GitSource(_Source):
    """A commit of a git repository."""

    kind: Literal["git"]
    url: GitUrl
    """The repository; git's own `url.<base>.insteadOf` applies."""
    commit: GitCommit
    """All 40 digits: a branch or tag can move."""
    subdirectory: RelativePath | None = None
    """Folder of the project within the repository."""


class SdistSource(_Source):
    """A source distribution on the package index."""

    kind: Literal["sdist"]
    project: PackageName
    """Name on the package index."""
    version: PackageVersion
    """Its version there."""
    sha256: Sha256
    """Hash of the file."""


class UrlSource(_Source):
    """A source archive at an address."""

    kind: Literal["url"]
    url: FileUrl
    """Address of a .tar.gz, .tar.xz, .tar.bz2 or .zip with one top folder."""
    sha256: Sha256
    """Hash of the file."""


class PathSource(_Source):
    """A folder that comes with the recipe."""

    kind: Literal["path"]
    path: RelativePath
    """Folder, relative to the recipe."""


Source = Annotated[GitSource | SdistSource | UrlSource | PathSource, Field(discriminator="kind")]
