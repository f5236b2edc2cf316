"""The environment in which scikit-build-core runs CMake: one toolkit, one capability list, one compiler."""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from cudawheel.backend.policy import Policy
from cudawheel.data import capability_spans, torch_releases
from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityContext
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.dispatcher import Build
from cudawheel.schedule.history import CostKey, History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.stand_ins import write_stand_ins
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.environment import build_environment, search_path
from cudawheel.toolchain.host_compiler import find_host_compiler
from cudawheel.toolchain.provide import ToolchainRequest, provide

# Kernels that include torch's headers need up to this much; lighter ones are known for what they are after one build.
_MEMORY = 3 * GIB
_BUILD = "backend"


@contextmanager
def cuda_environment(policy: Policy) -> Iterator[None]:
    """Let the block run with the build's environment variables, and put the old ones back afterwards.

    Raises:
        ToolchainError: there is no toolkit as the policy says.
        HostCompilerError: there is no C++ compiler that nvcc accepts.
        CapabilityError: the toolkit can compile none of the capabilities.
    """
    if policy.prepared_home is not None:
        # A surrounding `cudawheel build` has set everything already, the capability list included.
        yield
        return
    before = dict(os.environ)
    history = History(user_cache_path("cudawheel") / "costs.sqlite")
    with (
        tempfile.TemporaryDirectory(prefix="cudawheel-toolkit-") as folder,
        Jobserver(BudgetRequest(), history, confined=False) as jobserver,
        jobserver.serve(build := _build(policy)),
    ):
        variables = _variables(policy, Path(folder), jobserver)
        os.environ.clear()
        os.environ.update(variables)
        try:
            yield
            build.finished = True
        finally:
            os.environ.clear()
            os.environ.update(before)


def _build(policy: Policy) -> Build:
    key = CostKey(
        package=policy.project, fingerprint="", cuda=str(policy.cuda), torch=str(policy.torch), memory=_MEMORY
    )
    return Build(name=_BUILD, key=key, folder=Path.cwd(), note=_note)


def _note(text: str) -> None:
    # Build frontends show what a backend writes when it fails, or when they are asked to.
    sys.stderr.write(f"cudawheel: {text}\n")


def _variables(policy: Policy, folder: Path, jobserver: Jobserver) -> dict[str, str]:
    site_packages = Path(sysconfig.get_path("purelib"))
    request = ToolchainRequest(
        cuda=policy.cuda, folder=folder, environ=policy.environ, site_packages=_holding_nvcc(site_packages)
    )
    toolchain = provide(policy.toolchain, request)
    compiler = find_host_compiler(compiler_limits(toolchain.version, toolchain.home), policy.environ)
    stand_ins = write_stand_ins(
        folder / "compilers",
        cuda_home=toolchain.home,
        cxx=compiler.cxx,
        cc=compiler.cc,
        path=policy.environ.get("PATH", ""),
        socket=jobserver.socket,
    )
    path = search_path(
        policy.environ.get("PATH", ""),
        first=(Path(sys.executable).parent, stand_ins.cuda_home / "bin", stand_ins.cxx.parent),
        shadows=folder / "shadows",
    )
    extra = {
        "CUDAARCHS": _capabilities(policy, toolchain.gpu_codes).cmake_cuda_architectures(),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(jobserver.budget.slots),
        launcher.BUILD: _BUILD,
        # pip lays build requirements on this path instead of making a virtual environment.
        **{name: policy.environ[name] for name in ("PYTHONPATH",) if name in policy.environ},
    }
    return build_environment(
        policy.environ,
        toolchain=replace(toolchain, home=stand_ins.cuda_home, nvcc=stand_ins.cuda_home / "bin" / "nvcc"),
        compiler=replace(compiler, cxx=stand_ins.cxx, cc=stand_ins.cc),
        path=path,
        extra=extra,
    )


def _holding_nvcc(default: Path) -> Path:
    """Find the site-packages that holds the toolkit: pip's isolated environment is a path entry, not a prefix."""
    holders = (Path(entry) for entry in sys.path if list(Path(entry).glob("nvidia/cu*/bin/nvcc")))
    return next(holders, default)


def _capabilities(policy: Policy, codes: tuple[ComputeCapability, ...]) -> CapabilitySet:
    known = tuple(capability for capability in capability_spans() if capability.base in codes)
    context = CapabilityContext(
        known=tuple(sorted(capability for capability in known if not capability.suffix)),
        torch=CapabilitySet.of(torch_releases()[policy.torch].capabilities),
    )
    asked = policy.capabilities.expand(context)
    found = CapabilitySet.of(
        (capability for capability in asked.cubins if capability.base in codes),
        (capability for capability in asked.ptx if capability.base in codes),
    )
    if not found.cubins and not found.ptx:
        # An empty CUDAARCHS would leave the choice to CMake.
        raise CapabilityError(
            f"nvcc can compile for none of {asked}",
            why=f"It knows {', '.join(map(str, codes))}.",
            remedy="Correct `capabilities` in [tool.cudawheel], or use another toolkit.",
        )
    return found
