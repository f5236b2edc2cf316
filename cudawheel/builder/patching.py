"""Changing a source as its recipe says: unified diffs first, then exact one-line replacements."""

from __future__ import annotations

from pathlib import Path

import patch_ng

from cudawheel.builder.changes import read_patch
from cudawheel.errors import PatchError
from cudawheel.recipe.settings import BuildSettings, Replacement


def apply_changes(settings: BuildSettings, *, patches_folder: Path, project: Path) -> None:
    """Apply the patches and replacements of a recipe to a fresh copy of the source.

    Raises:
        PatchError: one does not apply exactly as the recipe expects.
    """
    for name in settings.patches:
        _apply_patch(patches_folder / name, project)
    for replacement in settings.replacements:
        _replace(replacement, project)


def _apply_patch(path: Path, project: Path) -> None:
    patches = patch_ng.fromstring(read_patch(path))
    if not patches:
        raise PatchError(
            f"{path} is not a unified diff",
            why="no hunk was found in it",
            remedy="Write it with `git diff` or `diff -u`.",
        )
    strip = 1 if patches.items[0].source.startswith(b"a/") or patches.items[0].target.startswith(b"b/") else 0
    if not patches.apply(strip=strip, root=str(project)):
        names = ", ".join(sorted({item.target.decode(errors="replace") for item in patches.items}))
        raise PatchError(
            f"{path} does not apply",
            why=f"it changes {names}; at least one hunk does not match the source at the pinned version",
            remedy="Make the patch anew against that version.",
        )


def _replace(replacement: Replacement, project: Path) -> None:
    path = project / replacement.file
    try:
        # Bytes, not `read_text`, which would turn the line ends of other systems into this one's.
        lines = path.read_bytes().decode("utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise PatchError(
            f"cannot replace a line of {replacement.file}",
            why=str(error),
            remedy="Correct `file` of the replacement; it is relative to the project.",
        ) from error
    hits = [index for index, line in enumerate(lines) if line.rstrip("\r\n") == replacement.old]
    if len(hits) != replacement.hits:
        raise PatchError(
            f"the line to replace in {replacement.file} was found {len(hits)} times, expected {replacement.hits}",
            why=f"the line is {replacement.old!r}",
            remedy="Compare it with the source at the pinned version, blanks included.",
        )
    for index in hits:
        ending = lines[index][len(lines[index].rstrip("\r\n")) :]
        lines[index] = replacement.new + ending
    path.write_bytes("".join(lines).encode("utf-8"))
