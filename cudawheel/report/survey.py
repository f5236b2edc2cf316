"""From a folder of files to a survey: every sound wheel with what lies beside it, and the rest with the reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from packaging.tags import Tag
from pydantic import TypeAdapter, ValidationError

from cudawheel.audit.inspection import Inspection, inspect_wheel
from cudawheel.data import known_for, machines_of
from cudawheel.errors import WheelError
from cudawheel.index.model import OVERALL, File
from cudawheel.index.scan import Scanner
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.provenance.keys import PublicKey
from cudawheel.report.attestation import read_attestation
from cudawheel.report.build_record import first_fault, read_record
from cudawheel.report.pictures import read_pictures
from cudawheel.report.reading import read_small
from cudawheel.report.values import Evidence, Survey, Trouble, WheelFacts
from cudawheel.verify.verdict import Verdict
from cudawheel.wheel.reading import Wheel

VERIFIED = ".verified"
"""What the folder of a verdict has in place of the wheel's `.whl`."""

_WHEEL = ".whl"
_VERDICT = TypeAdapter(Verdict)
_CPYTHON = re.compile(r"cp(\d)(\d+)", re.ASCII)


def survey(wheelhouse: Path, *, trusted: Sequence[PublicKey] = (), leave_out: Iterable[Path] = ()) -> Survey:
    """Read a wheelhouse with all its folders.

    Which wheels are sound is for the index to say: what it offers is here, and what it refuses is refused here.

    Args:
        wheelhouse: the folder.
        trusted: keys to check signatures with; with none they are not checked.
        leave_out: files that are not to be called stray, such as an earlier report.

    Raises:
        StoreError: it is no folder, or cannot be read.
    """
    scanned = Scanner(wheelhouse).scan()
    files = [file for project in scanned.index.channels[OVERALL].projects.values() for file in reversed(project.files)]
    wheels, refused = [], []
    for file in files:
        path = file.path.relative_to(wheelhouse).as_posix()
        try:
            wheels.append(_read(file, path, trusted))
        except WheelError as fault:
            refused.append(Trouble(path=path, reason=" ".join(f"{fault.what}. {fault.why}".split())))
    known = {path.resolve() for path in leave_out}
    others = [
        Trouble(path=one.path, reason=one.reason)
        for one in scanned.findings
        if (wheelhouse / one.path).resolve() not in known
    ]
    refused += [one for one in others if one.path.endswith(_WHEEL)]
    return Survey(
        folder=str(wheelhouse),
        wheels=tuple(wheels),
        refused=tuple(sorted(refused, key=lambda one: one.path)),
        strays=tuple(_strays(others, {*(wheel.path for wheel in wheels), *(one.path for one in refused)})),
    )


def _strays(others: Iterable[Trouble], wheels: Collection[str]) -> Iterator[Trouble]:
    """Give what belongs to no wheel, sound or not; of the folder of a verdict without one, the folder alone."""
    told = set()
    for one in others:
        if one.path.endswith(_WHEEL):
            continue
        beside, ending, _ = one.path.partition(f"{_WHEEL}.")
        verified, within, _ = one.path.partition(f"{VERIFIED}/")
        owner = f"{(beside if ending else verified)}{_WHEEL}"
        if (ending or within) and owner in wheels:
            continue
        if within:
            folder = f"{verified}{VERIFIED}"
            if folder not in told:
                told.add(folder)
                yield Trouble(path=folder, reason="the verification of a wheel that is not here")
        elif ending:
            yield Trouble(path=one.path, reason="lies beside a wheel that is not here")
        else:
            yield one


def _read(file: File, path: str, trusted: Sequence[PublicKey]) -> WheelFacts:
    wheel = Wheel.read(file.path)
    inspection = inspect_wheel(wheel)
    apart = _out_of_reach(inspection)
    tags = sorted(wheel.tags, key=str)
    return WheelFacts(
        path=path,
        project=file.project,
        version=str(file.version),
        pythons=tuple(dict.fromkeys(map(_python, tags))),
        platforms=tuple(dict.fromkeys(tag.platform for tag in tags)),
        size=file.size,
        sha256=file.sha256,
        requires=wheel.metadata.get("Requires-Dist"),
        capabilities=inspection.capabilities,
        supports={gpu: support for gpu in known_for() if (support := _support(inspection, gpu, apart)) is not None},
        apart=apart,
        yanked=file.yanked,
        evidence=_evidence(file, trusted),
    )


def _support(inspection: Inspection, gpu: ComputeCapability, apart: Collection[ComputeCapability]) -> Support | None:
    support = inspection.support(gpu)
    return Support.NONE if support is not None and gpu in apart else support


def _out_of_reach(inspection: Inspection) -> frozenset[ComputeCapability]:
    built_for = {item.machine for item in inspection.objects}
    return machines_of("aarch64") if built_for == {"x86_64"} else frozenset()


def _python(tag: Tag) -> str:
    """Say which Pythons a tag is for."""
    found = _CPYTHON.fullmatch(tag.interpreter)
    if found is None:
        return "any Python 3" if tag.interpreter == "py3" and tag.abi == "none" else f"{tag.interpreter}-{tag.abi}"
    version = f"Python {found[1]}.{found[2]}"
    if tag.abi == "abi3":
        return f"{version} or later"
    return version if tag.abi == tag.interpreter else f"{version} ({tag.abi})"


def _evidence(file: File, trusted: Sequence[PublicKey]) -> Evidence:
    record, record_fault = read_record(file.path)
    folder = file.path.with_suffix(VERIFIED)
    verdict, verdict_fault = _verdict(folder, file.sha256)
    attestation, attestation_fault = read_attestation(file.path, file.sha256, trusted)
    shown = (name for finding in verdict.findings for name in finding.pictures) if verdict else ()
    return Evidence(
        record=record,
        record_fault=record_fault,
        verdict=verdict,
        verdict_fault=verdict_fault,
        pictures=read_pictures(folder, shown),
        attestation=attestation,
        attestation_fault=attestation_fault,
    )


def _verdict(folder: Path, sha256: str) -> tuple[Verdict | None, str]:
    """Read the verdict on a wheel; like the other evidence, it counts for these bytes or not at all."""
    if folder.is_symlink():
        return None, "its folder is a link, which is not followed"
    text, fault = read_small(folder / "verdict.json")
    if text is None:
        return None, fault
    try:
        verdict = _VERDICT.validate_json(text)
    except ValidationError as error:
        return None, first_fault(error)
    if verdict.wheel_sha256 != sha256:
        return None, "it is about a file with another sha256"
    return verdict, ""
