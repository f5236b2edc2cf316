"""What a report is about, as frozen values: made by `survey`, read by `page`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cudawheel.data import known_for, machines_of
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.report.attestation import Attestation
from cudawheel.report.build_record import BuildRecord
from cudawheel.verify.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A file that is no sound wheel, or belongs to none, and why.

    Attributes:
        path: below the wheelhouse.
        reason: one line.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What lies beside a wheel. A fault says why something that lies there is not shown; empty where nothing does.

    Attributes:
        record: how it was built.
        verdict: what verification found.
        pictures: those of the verdict, as data URIs by their file names.
        attestation: who claims to have built it.
    """

    record: BuildRecord | None = None
    record_fault: str = ""
    verdict: Verdict | None = None
    verdict_fault: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict, repr=False)
    attestation: Attestation | None = None
    attestation_fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFacts:
    """One sound wheel, and all that is known of it.

    Attributes:
        path: below the wheelhouse.
        project: its normalised name.
        version: local part included.
        pythons: for whom it is, in words.
        platforms: its platform tags.
        size: bytes.
        sha256: of the file.
        requires: what METADATA requires.
        capabilities: all that its device code was compiled for.
        supports: how each GPU runs it, the weakest object deciding; empty where it holds no device code.
        apart: GPUs that sit in machines where it does not install.
        yanked: why it was withdrawn, which may be empty; None where it was not.
        evidence: what lies beside it.
    """

    path: str
    project: str
    version: str
    pythons: tuple[str, ...]
    platforms: tuple[str, ...]
    size: int
    sha256: str
    requires: tuple[str, ...] = ()
    capabilities: CapabilitySet = field(default_factory=CapabilitySet)
    supports: Mapping[ComputeCapability, Support] = field(default_factory=dict)
    apart: frozenset[ComputeCapability] = frozenset()
    yanked: str | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def file(self) -> str:
        """Its file name."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder that it lies in, below the wheelhouse; empty for the wheelhouse itself."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A wheelhouse as it was found.

    Attributes:
        folder: the wheelhouse, as it was named.
        wheels: by project, the newest version first.
        refused: wheels that are damaged, or clash with another; no index offers them.
        strays: files that are no wheels and belong to none.
    """

    folder: str
    wheels: tuple[WheelFacts, ...] = ()
    refused: tuple[Trouble, ...] = ()
    strays: tuple[Trouble, ...] = ()

    @property
    def gpus(self) -> Mapping[ComputeCapability, str]:
        """The GPUs that any wheel here can meet, the newest first, with the names that people know them by."""
        coded = [wheel for wheel in self.wheels if wheel.supports]
        everywhere_apart = (
            frozenset.intersection(*(wheel.apart for wheel in coded)) if coded else machines_of("aarch64")
        )
        return {gpu: name for gpu, name in sorted(known_for().items(), reverse=True) if gpu not in everywhere_apart}
