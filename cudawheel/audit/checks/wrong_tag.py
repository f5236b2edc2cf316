"""CW301: the tags of a wheel's name are not what its contents amount to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.tags import Tag

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.expectation import Expectation

_MANYLINUX = re.compile(r"(?P<libc>manylinux|musllinux)_(?P<major>\d+)_(?P<minor>\d+)_(?P<machine>\w+)")
_ALIASES = {"manylinux1": "manylinux_2_5", "manylinux2010": "manylinux_2_12", "manylinux2014": "manylinux_2_17"}
_SUFFIX = re.compile(r"\.cpython-(?P<version>\d+)[^./]*\.so$")
_RETAG = "Have cudawheel rewrite the wheel with the tags that its contents call for."


class WrongTag(Check):
    """Installers choose by tag alone: a wrong one installs and then fails to import, or never installs."""

    code = "CW301"
    title = "wrong tag"

    def run(self, subject: Subject, expectation: Expectation) -> tuple[Violation, ...]:  # noqa: ARG002 - no exceptions
        """Compare the name's tags with WHEEL, the processor, the modules' suffixes, and the symbols."""
        name = subject.wheel.path.name
        return (
            *(self.violation(where=name, found=found, remedy=_RETAG) for found in _judge_wheel(subject)),
            *(
                self.violation(where=where, found=found, remedy="Build it with the Python of the wheel's tag.")
                for where, found in _judge_suffixes(subject)
            ),
        )


def _judge_wheel(subject: Subject) -> Iterator[str]:
    wheel = subject.wheel
    if wheel.declared_tags != wheel.tags:
        yield f"The file's name says {_spell(wheel.tags)}, WHEEL says {_spell(wheel.declared_tags)}."
    objects = subject.inspection.objects
    if objects and wheel.wheel_file.first("Root-Is-Purelib").casefold() == "true":
        yield f"WHEEL says Root-Is-Purelib: true, yet {objects[0].name} is machine code."
    platforms = sorted({tag.platform for tag in wheel.tags})
    for item in objects:
        if not any(platform.endswith(f"_{item.machine}") for platform in platforms):
            yield f"{item.name} is for {item.machine}, the tag says {', '.join(platforms)}."
            return
    if objects:
        yield from _judge_platforms(platforms, subject)


def _judge_platforms(platforms: list[str], subject: Subject) -> Iterator[str]:
    """Compare each manylinux tag with the one that auditwheel finds; plain linux tags promise nothing."""
    earned = _MANYLINUX.fullmatch(subject.platform.tag)
    for platform in platforms:
        alias, _, rest = platform.partition("_")
        claimed = _MANYLINUX.fullmatch(f"{_ALIASES[alias]}_{rest}" if alias in _ALIASES else platform)
        if claimed is None:
            continue
        if earned is None:
            yield f"The tag says {platform}, but {subject.platform.reason or f'it is {subject.platform.tag}'}."
        elif claimed["libc"] != earned["libc"] or _release(claimed) < _release(earned):
            yield f"The tag says {platform}, but its symbols need {subject.platform.tag}."


def _judge_suffixes(subject: Subject) -> Iterator[tuple[str, str]]:
    interpreters = {tag.interpreter for tag in subject.wheel.tags}
    abis = {tag.abi for tag in subject.wheel.tags}
    for item in subject.inspection.objects:
        match = _SUFFIX.search(item.name)
        if match is None:
            continue
        if "abi3" in abis or "none" in abis:
            abi = "abi3" if "abi3" in abis else "none"
            yield item.name, f"Its suffix ties it to Python {match['version']}, the wheel's ABI tag is {abi}."
        elif f"cp{match['version']}" not in interpreters:
            yield item.name, f"Its suffix is for cp{match['version']}, the wheel's tag says {', '.join(interpreters)}."


def _release(match: re.Match[str]) -> tuple[int, int]:
    return int(match["major"]), int(match["minor"])


def _spell(tags: frozenset[Tag]) -> str:
    return ", ".join(sorted(map(str, tags))) or "nothing"
