"""Laying unpacked folders over each other."""

from __future__ import annotations

import os
from pathlib import Path

from cudawheel.errors import SourceUnsafeError


def merge(folder: Path, into: Path) -> None:
    """Move all that is in `folder` into `into`; folders of the same name become one, of two files the later one stays.

    Raises:
        SourceUnsafeError: a link would lead out of `into`, or a file would take the place of a folder.
    """
    for entry in sorted(folder.iterdir()):
        target = into / entry.name
        real_folder = entry.is_dir() and not entry.is_symlink()
        if real_folder and target.is_dir() and not target.is_symlink():
            merge(entry, target)
        elif target.is_dir() and not target.is_symlink():
            raise _unsafe(entry.name, "would take the place of a folder")
        elif real_folder and target.is_symlink():
            # Moving into what a link stands for would write where nobody looks.
            raise _unsafe(entry.name, "is a folder here and a link there")
        else:
            entry.replace(target)


def require_links_inside(root: Path) -> None:
    """Check every link below `root`. To be done when all is in place: what a link means depends on its neighbours.

    Raises:
        SourceUnsafeError: a link leads out of `root`.
    """
    real_root = os.path.realpath(root)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(real_root):
                raise _unsafe(str(path.relative_to(root)), f"links to {path.readlink()}, outside of the toolkit")


def _unsafe(name: str, why: str) -> SourceUnsafeError:
    return SourceUnsafeError(
        "the archives of the toolkit do not fit together safely",
        why=f"{name} {why}",
        remedy="Do not use them. Install CUDA by other means and use --toolchain system.",
    )
