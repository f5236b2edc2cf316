"""What a source is pinned to, told without any network: what a fingerprint and a build record say of it."""

from __future__ import annotations

from pathlib import Path

from cudawheel.builder.changes import changes_hash
from cudawheel.builder.tree import tree_hash
from cudawheel.errors import PlanError, SourceUnreachableError
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.recipe.sources import GitSource, PathSource, Source, UrlSource


def candidates(loaded: LoadedRecipe, only: str | None) -> tuple[Source, ...]:
    """Give the sources to try, in order; `only` names one and forbids the others.

    Raises:
        PlanError: no source has that label.
    """
    sources = loaded.recipe.sources
    if only is None:
        return sources
    chosen = tuple(source for source in sources if source.label == only)
    if not chosen:
        raise PlanError(
            f"{loaded.path.name} has no source labelled {only!r}",
            why=f"It has {', '.join(repr(source.label) for source in sources)}.",
            remedy="Name one of these with --source, or leave --source out.",
        )
    return chosen


def pinned_identity(source: Source, loaded: LoadedRecipe) -> str:
    """Give the commit or hash that a source is pinned to.

    Raises:
        SourceUnreachableError: the folder of a path source is not there.
    """
    if isinstance(source, GitSource):
        return source.commit
    if isinstance(source, PathSource):
        return tree_hash(source_folder(source, loaded))
    return source.sha256


def describe(source: Source, settings: BuildSettings, loaded: LoadedRecipe) -> dict[str, str]:
    """Give what a fingerprint and a build record say of a source, its patches included.

    Raises:
        SourceUnreachableError: the folder of a path source is not there.
        PatchError: a patch file cannot be read.
    """
    facts = {"label": source.label, "kind": source.kind, "identity": pinned_identity(source, loaded)}
    if settings.patches or settings.replacements:
        facts["changes"] = changes_hash(settings, loaded.folder)
    if isinstance(source, GitSource | UrlSource):
        facts["url"] = source.url
    return facts


def source_folder(source: PathSource, loaded: LoadedRecipe) -> Path:
    """Give the folder of a path source.

    Raises:
        SourceUnreachableError: it is not there.
    """
    folder = loaded.folder / source.path
    if not folder.is_dir():
        raise SourceUnreachableError(
            f"the folder {folder} of source {source.label!r} is not there",
            why=f"{folder} does not exist",
            remedy=f"Correct `path` of source {source.label!r} in {loaded.path}.",
        )
    return folder
