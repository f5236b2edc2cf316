"""The toolkit and the host compiler of a build."""

from __future__ import annotations

from dataclasses import dataclass

from cudawheel.builder.environment import Environment
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.errors import CapabilityError
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Progress
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.host_compiler import HostCompiler, find_host_compiler
from cudawheel.toolchain.provide import ToolchainRequest, provide
from cudawheel.toolchain.toolchain import Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a build works with."""

    toolchain: Toolchain
    compiler: HostCompiler


def find_tools(order: BuildOrder, environment: Environment, place: Workplace, progress: Progress) -> Tools:
    """Provide the toolkit that the plan names, and find the compiler that it accepts.

    Raises:
        ToolchainError: there is no such toolkit.
        CapabilityError: its nvcc lacks a planned capability.
        HostCompilerError: there is no compiler that it accepts.
    """
    progress.phase("toolkit", f"CUDA {order.variant.cuda}")
    request = ToolchainRequest(
        cuda=order.variant.cuda,
        folder=place.cache / "toolkits",
        environ=place.environ,
        site_packages=environment.site_packages,
        machine=order.variant.machine,
        redist=order.redist,
        progress=progress,
    )
    toolchain = provide(order.toolchain, request)
    _refuse_unknown(order.variant.capabilities, toolchain)
    compiler = find_host_compiler(compiler_limits(toolchain.version, toolchain.home), place.environ)
    for note in (*toolchain.notes, *compiler.notes):
        progress.note(note)
    return Tools(toolchain=toolchain, compiler=compiler)


def _refuse_unknown(capabilities: CapabilitySet, toolchain: Toolchain) -> None:
    """Let nvcc itself have the last word on what it can compile, whatever the table said when planning."""
    known = set(toolchain.gpu_codes)
    asked = sorted({*capabilities.cubins, *capabilities.ptx})
    unknown = [capability for capability in asked if capability.base not in known]
    if unknown:
        raise CapabilityError(
            f"nvcc {toolchain.release} cannot compile for {', '.join(map(str, unknown))}",
            why=f"It knows {', '.join(map(str, sorted(known)))}.",
            remedy="Leave these capabilities out, or use another toolkit.",
        )
