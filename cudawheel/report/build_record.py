"""The build record that lies beside a wheel, read as text from outside: checked, and only what the report shows."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cudawheel.report.reading import read_small
from cudawheel.schedule.timeline import EventKind, Timeline

# Beyond any machine, and within what a float holds exactly enough to be drawn.
_MOST = 1 << 62
_LONGEST_SECONDS = 1e9
# Of a timeline that anybody may have written, as much as can be drawn in seconds; ours are far shorter.
_LONGEST_LIST = 10_000

_SHORT = Field(max_length=_LONGEST_LIST)
Bytes = Annotated[int, Field(ge=0, le=_MOST)]
Count = Annotated[int, Field(ge=0, le=1 << 31)]
Seconds = Annotated[float, Field(ge=0, le=_LONGEST_SECONDS)]


def _in_utc(when: datetime) -> datetime:
    try:
        return when.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("it is out of all reach") from error


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Skipped(_Part):
    """A source that was not used, and why."""

    label: str
    reason: str


class Recipe(_Part):
    """The recipe's file name and the hash of its text."""

    file: str
    sha256: str


class Source(_Part):
    """Where the code came from: `identity` is a commit or a hash, `changes` the hash of what was patched."""

    label: str
    kind: str
    identity: str
    url: str = ""
    changes: str = ""
    fallback: bool = False
    skipped: tuple[Skipped, ...] = ()


class LeftOut(_Part):
    """A capability that was asked for and not built."""

    capability: str
    reason: str


class Variant(_Part):
    """What it was built for."""

    identifier: str
    python: str
    torch: str
    cuda: str
    abi: str
    left_out: tuple[LeftOut, ...] = ()


class Toolchain(_Part):
    """What it was compiled with."""

    kind: str
    cuda: str
    nvcc: str
    host_compiler: str


class _Event(_Part):
    kind: EventKind
    at: Seconds
    text: str
    until: Seconds | None = None


class _Unit(_Part):
    build: str
    source: str
    kind: str
    passes: Count
    threads: Count
    start: Seconds
    end: Seconds
    peak: Bytes
    outcome: str


class _Timeline(_Part):
    reserve: Bytes
    cores: Count
    samples: Annotated[tuple[tuple[Seconds, Bytes, Bytes, Count, Count], ...], _SHORT] = ()
    events: Annotated[tuple[_Event, ...], _SHORT] = ()
    units: Annotated[tuple[_Unit, ...], _SHORT] = ()


class Build(_Part):
    """What it cost: seconds, and bytes of memory."""

    seconds: Seconds
    peak_memory: Bytes
    largest_process: Bytes
    most_compilers: Count
    budget: str
    confinement: str
    network: str = ""
    locked: bool = False
    environment: tuple[str, ...] = ()
    timeline: _Timeline

    def story(self) -> Timeline:
        """Give the timeline as the room that draws it wants it."""
        return Timeline.from_json(self.timeline.model_dump())


class Violation(_Part):
    """One thing that the audit found."""

    code: str
    title: str
    where: str
    found: str
    remedy: str


class _Imported(_Part):
    modules: str
    torch: str


class Computed(_Part):
    """What the recipe's check found when the wheel was built."""

    program: str
    result: str
    said: tuple[str, ...] = ()


class _Platform(_Part):
    tag: str
    reason: str = ""


class Audit(_Part):
    """What the audit found when the wheel was built."""

    ok: bool
    violations: tuple[Violation, ...] = ()
    imported: _Imported | None = None
    computed: Computed | None = None
    platform: _Platform


class Material(_Part):
    """Something that went into a build, with its hashes."""

    name: str
    digest: dict[str, str] = {}


class BuildRecord(_Part):
    """The build record of a wheel; fields that the report does not show are passed over.

    What records of earlier releases do not have may be missing.
    """

    cudawheel: str
    fingerprint: str
    built_at: Moment
    recipe: Recipe
    source: Source
    variant: Variant
    toolchain: Toolchain
    build: Build
    audit: Audit
    materials: tuple[Material, ...] = ()


def read_record(wheel: Path) -> tuple[BuildRecord | None, str]:
    """Read the record beside a wheel.

    Returns:
        The record, or None with the reason why there is none; the reason is empty where no file is there.
    """
    text, fault = read_small(wheel.with_name(f"{wheel.name}.json"))
    if text is None:
        return None, fault
    try:
        return BuildRecord.model_validate_json(text), ""
    except ValidationError as error:
        return None, first_fault(error)


def first_fault(error: ValidationError) -> str:
    """Say the first thing that is wrong with a file, and where in it."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]
