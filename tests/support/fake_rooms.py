"""The builder's and the audit's rooms, taken by stand-ins that write a small wheel: for tests of what is decided."""

from __future__ import annotations

from pathlib import Path

from fake_tools import compiler, toolchain
from small_packages import write_wheel

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.environment import Environment
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.sources import lay_out
from cudawheel.builder.tools import Tools
from cudawheel.factory.proof import Proof
from cudawheel.factory.request import BuildRequest
from cudawheel.model.progress import Progress
from cudawheel.model.wheel_name import local_version
from cudawheel.schedule.limits import GIB
from cudawheel.schedule.timeline import Sample, Timeline, Unit


def unit(source: str, *, start: float, threads: int, peak: int) -> Unit:
    return Unit(
        build="tiny-ext",
        source=source,
        kind="device",
        passes=3,
        threads=threads,
        start=start,
        end=start + 10,
        peak=peak,
        outcome="ok",
    )


TIMELINE = Timeline(
    reserve=GIB,
    cores=4,
    samples=[Sample(at=5.0, used=5 * GIB, budget=8 * GIB, running=3, waiting=0)],
    units=[unit("a.cu", start=0.0, threads=2, peak=2 * GIB), unit("b.cu", start=5.0, threads=1, peak=3 * GIB)],
)


class Rooms:
    """The builder's and the audit's places, taken by stand-ins that write a small wheel.

    Attributes:
        built: labels of the sources that were built, in order.
        places: where each of them was.
        pins: what the build environment is said to hold.
    """

    def __init__(self) -> None:
        self.built: list[str] = []
        self.places: list[Workplace] = []
        self.pins: tuple[str, ...] = ("torch==2.11.0",)

    def build(self, order: BuildOrder, place: Workplace, progress: Progress) -> BuiltWheel:
        progress.phase("compiling")
        lay_out(order.fetched, order.loaded, order.settings, place.work / "source")
        self.built.append(order.fetched.source.label)
        self.places.append(place)
        environment = Environment(
            folder=place.cache, python=Path("python"), site_packages=place.cache, packages=self.pins
        )
        code = {"tiny_ext/machine_code": str(order.variant.capabilities)}
        return BuiltWheel(
            wheel=write_wheel(place.work, "tiny-ext", "1.0", files=code),
            environment=environment,
            tools=Tools(toolchain=toolchain(place.cache), compiler=compiler()),
            variables={},
            seconds=1.0,
            seconds_until_compiling=0.5,
            timeline=TIMELINE,
            budget=str(place.jobserver.budget),
            confinement=str(place.jobserver.confinement),
            network="none: nothing was run",
            requires=("torch==2.11.*",),
            started_at="2026-01-01T00:00:00+00:00",
        )

    def prove(self, order: BuildOrder, built: BuiltWheel, place: Workplace, progress: Progress) -> Proof:
        progress.phase("audit")
        variant = order.variant
        local = local_version(cuda=variant.cuda, torch=variant.torch, abi=variant.abi, fallback=order.fallback)
        wheel = built.wheel.rename(place.work / f"tiny_ext-1.0+{local}-py3-none-any.whl")
        return Proof(wheel=wheel, findings={"capabilities": {"cubins": [], "ptx": []}, "imported": {}})


def in_wheelhouse(asked: BuildRequest) -> list[str]:
    return sorted(path.name for path in asked.wheelhouse.iterdir())
