"""A program of its own, run within a container: compose CUDA_HOME out of what the build requirements brought.

    python -m cudawheel.containers.toolkit 13.0

It lies below the interpreter that runs this, so that every Python of an image has its own; `FOLDER` is its name there.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.package import provide

FOLDER = "cudawheel-cuda"


def main(release: str, site_packages: Path, prefix: Path) -> Path:
    """Compose the toolkit of a release; gives its folder.

    Raises:
        ToolchainError: the package index's toolkit is not installed, or is of another release.
    """
    home = prefix / FOLDER
    provide(CudaVersion.parse(release), site_packages=site_packages, home=home)
    return home


if __name__ == "__main__":
    main(sys.argv[1], Path(sysconfig.get_path("purelib")), Path(sys.prefix))
