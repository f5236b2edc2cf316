"""Bringing a source onto this machine: pinned, verified, kept, and copied into the folder that is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cudawheel.builder import archives, git, tree
from cudawheel.builder.identity import pinned_identity, source_folder
from cudawheel.builder.patching import apply_changes
from cudawheel.errors import SourceUnreachableError
from cudawheel.model.progress import Progress
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.recipe.sources import GitSource, PathSource, SdistSource, Source, UrlSource


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """A source that lies on this machine, pinned and verified.

    Attributes:
        source: what the recipe says.
        location: an archive, a bare git repository or a folder, by kind.
        identity: commit or sha256 of the content.
        skipped: labels of the sources before it, with the reason why each could not be had.
    """

    source: Source
    location: Path
    identity: str
    skipped: tuple[tuple[str, str], ...] = ()


def fetch(
    loaded: LoadedRecipe, sources: tuple[Source, ...], cache: Path, progress: Progress, *, index_url: str = ""
) -> FetchedSource:
    """Bring the first source that can be reached; what is on this machine already needs no network.

    Raises:
        SourceUnreachableError: none can be reached.
        SourceHashError: one was reached and is not what the recipe pinned. That ends the search: a source with the
            wrong content is an attack or a mistake, never a reason to try another.
    """
    skipped: list[tuple[str, str]] = []
    remedies: list[str] = []
    for source in sources:
        progress.phase("source", source.label)
        try:
            location = _bring(source, loaded, cache, progress, index_url)
        except SourceUnreachableError as error:
            skipped.append((source.label, error.why or error.what))
            remedies.append(error.remedy)
            continue
        return FetchedSource(
            source=source, location=location, identity=pinned_identity(source, loaded), skipped=tuple(skipped)
        )
    raise SourceUnreachableError(
        f"no source of {loaded.recipe.package.name} could be reached",
        why="\n".join(f"{label}: {reason}" for label, reason in skipped),
        remedy="\n".join(dict.fromkeys(remedies)),
    )


def lay_out(fetched: FetchedSource, loaded: LoadedRecipe, settings: BuildSettings, into: Path) -> Path:
    """Put a fresh copy of the source into `into`, change it as the recipe says, and give the project's folder.

    Raises:
        SourceUnsafeError: the archive would write outside, or cannot be read.
        PatchError: a patch or replacement does not apply.
    """
    source = fetched.source
    if isinstance(source, GitSource):
        git.check_out(fetched.location, source.commit, into, url=source.url)
        project = into / source.subdirectory if source.subdirectory else into
    elif isinstance(source, PathSource):
        tree.copy_tree(fetched.location, into)
        project = into
    else:
        project = archives.unpack_project(fetched.location, into)
    apply_changes(settings, patches_folder=loaded.folder, project=project)
    return project


def _bring(source: Source, loaded: LoadedRecipe, cache: Path, progress: Progress, index_url: str) -> Path:
    if isinstance(source, GitSource):
        return git.bring(source.url, source.commit, cache / "git")
    if isinstance(source, SdistSource):
        return archives.bring_sdist(source, cache / "archives", progress, index_url)
    if isinstance(source, UrlSource):
        return archives.bring_url(source, cache / "archives", progress)
    return source_folder(source, loaded)
