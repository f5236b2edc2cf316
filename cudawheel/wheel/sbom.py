"""The bill of materials inside a wheel: CycloneDX 1.6, where PEP 770 wants it.

It lists what became part of the binaries, and is the same for the same content: no clock and no chance goes into it.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cudawheel.wheel.archive import open_archive
from cudawheel.wheel.reading import Wheel

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

PLACE = "sboms/cudawheel.cdx.json"
"""Name below the dist-info folder."""

Role = Literal["source", "headers", "toolkit", "bundled"]

_CHUNK = 1 << 20
_LIBRARY = re.compile(r"(?:^|/)lib[^/]*\.so(?:\.[\d.]+)?$|^[^/]+\.libs/[^/]+\.so[^/]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class SbomPart:
    """Something that became part of a wheel.

    Attributes:
        role: the source; headers and static libraries that were compiled in; the CUDA toolkit; or a library that lies
            in the wheel as it is.
        name: of a package, or of a file.
        version: empty where there is none.
        package: whether it is a Python package that indexes know.
        sha256: of the file that it came in, in hexadecimal digits; empty where that is not known.
        url: where a source comes from; empty for what any index gives.
        commit: of a git source.
    """

    role: Role
    name: str
    version: str = ""
    package: bool = False
    sha256: str = ""
    url: str = ""
    commit: str = ""

    @property
    def reference(self) -> str:
        """What the bill calls it."""
        return f"{self.role}:{self.name}@{self.version or self.commit or self.sha256[:16]}"


def make_sbom(name: str, version: str, parts: Sequence[SbomPart], tools: Sequence[tuple[str, str]]) -> bytes:
    """Write the bill of materials of a wheel.

    Args:
        name: of the wheel's project.
        version: of the wheel, local part included.
        parts: what became part of it.
        tools: names and versions of what made it.
    """
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415 - slow to import, and wanted by builds alone
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from cyclonedx.model.tool import ToolRepository  # noqa: PLC0415
    from cyclonedx.output.json import JsonV1Dot6  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    subject = Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=PackageURL("pypi", None, name, version),
        bom_ref="wheel",
    )
    made_by = [
        Component(type=ComponentType.APPLICATION, name=tool, version=release, bom_ref=f"tool:{tool}")
        for tool, release in tools
    ]
    bom = Bom(metadata=BomMetaData(component=subject, tools=ToolRepository(components=made_by)))
    components = [_component(part) for part in {part.reference: part for part in parts}.values()]
    for component in components:
        bom.components.add(component)
    bom.register_dependency(subject, components)
    return _settled(json.loads(JsonV1Dot6(bom).output_as_string()))


def find_bundled(wheel: Wheel) -> tuple[SbomPart, ...]:
    """List the shared libraries that lie in a wheel beside its extension modules.

    Raises:
        WheelError: one cannot be unpacked.
    """
    names = [member.name for member in wheel.members if _LIBRARY.search(member.name)]
    parts = []
    with open_archive(wheel.path) as archive:
        for name in names:
            digest = hashlib.sha256()
            with archive.open(name) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
            parts.append(SbomPart(role="bundled", name=name, sha256=digest.hexdigest()))
    return tuple(parts)


def _component(part: SbomPart) -> Component:
    from cyclonedx.model import (  # noqa: PLC0415 - as above
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415
    from packageurl import PackageURL  # noqa: PLC0415

    kind = ExternalReferenceType.VCS if part.commit else ExternalReferenceType.DISTRIBUTION
    facts = [("cudawheel:role", part.role), *([("cudawheel:commit", part.commit)] if part.commit else [])]
    return Component(
        type=ComponentType.FILE if part.role == "bundled" else ComponentType.LIBRARY,
        name=part.name,
        version=part.version or None,
        purl=PackageURL("pypi", None, part.name, part.version) if part.package else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else None,
        external_references=[ExternalReference(type=kind, url=XsUri(part.url))] if part.url else None,
        properties=[Property(name=name, value=value) for name, value in facts],
        bom_ref=part.reference,
    )


def _settled(document: dict[str, Any]) -> bytes:
    """Replace what differs from run to run: the time is left out, and the serial number follows from the content."""
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).digest()
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=5)}"
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
