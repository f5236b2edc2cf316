"""The changes that a recipe makes to a source, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cudawheel.errors import PatchError
from cudawheel.recipe.settings import BuildSettings


def changes_hash(settings: BuildSettings, patches_folder: Path) -> str:
    """Hash all changes, contents of the patch files included; gives 64 hex digits.

    Raises:
        PatchError: a patch file cannot be read.
    """
    digest = hashlib.sha256()
    for name in settings.patches:
        digest.update(read_patch(patches_folder / name))
    for replacement in settings.replacements:
        digest.update(replacement.model_dump_json().encode())
    return digest.hexdigest()


def read_patch(path: Path) -> bytes:
    """Read a patch file.

    Raises:
        PatchError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PatchError(
            f"cannot read the patch {path}",
            why=error.strerror or str(error),
            remedy="Correct `build.patches` of the recipe.",
        ) from error
