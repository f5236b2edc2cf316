"""A process that makes one wheel, with toolkit and compiler in name: python run_build.py RECIPE FOLDER [WHEELHOUSE]."""

from __future__ import annotations

import sys
from pathlib import Path

from fake_tools import PLAIN_TAG, build_request, compiler, give, toolchain, write_toolkit
from listening import Heard

from cudawheel.audit import report
from cudawheel.builder import tools
from cudawheel.errors import CudawheelError
from cudawheel.factory import job, proof
from cudawheel.factory.factory import make_wheel


def main(recipe: Path, folder: Path, wheelhouse: Path) -> int:
    tools.provide = give(toolchain(write_toolkit(folder / "cuda")))
    tools.find_host_compiler = job.find_host_compiler = give(compiler())  # type: ignore[attr-defined]
    proof.find_platform_tag = report.find_platform_tag = give(PLAIN_TAG)  # type: ignore[attr-defined]
    heard = Heard()
    try:
        made = make_wheel(build_request(recipe, folder, wheelhouse=wheelhouse), heard)
    except CudawheelError as error:
        print(error, heard.phases, file=sys.stderr)  # noqa: T201 - the test reads it
        return error.exit_code
    print("cached" if made.cached else "built", made.wheel.name)  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    here = Path(sys.argv[2])
    sys.exit(main(Path(sys.argv[1]), here, Path(sys.argv[3]) if sys.argv[3:] else here / "wheelhouse"))
