"""What a wheel was made of: for its provenance everything that was fetched, for its bill of materials what stayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from typing import Any

from packaging.utils import canonicalize_name

from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.order import BuildOrder
from cudawheel.builder.pins import Pin
from cudawheel.files import sha256_of
from cudawheel.recipe.sources import GitSource, PathSource, SdistSource, UrlSource
from cudawheel.toolchain.toolchain import Toolchain
from cudawheel.wheel.sbom import SbomPart

# Of a toolkit that was there before: the programs that make code, and the libraries that are linked in.
_SYSTEM_PARTS = (
    "bin/cudafe++", "bin/fatbinary", "bin/nvcc", "bin/nvlink", "bin/ptxas", "nvvm/bin/cicc",
    "lib64/libcudadevrt.a", "lib64/libcudart_static.a",
)  # fmt: skip
# Files that compilers take into what they make, where they look for them: CMake has headers that only it reads.
_HEADERS = frozenset({".cuh", ".h", ".hh", ".hpp", ".hxx", ".inl", ".ipp", ".tcc"})
_HEADER_FOLDER, _STATIC = "include", ".a"


def materials(order: BuildOrder, built: BuiltWheel, *, source: Mapping[str, str]) -> list[dict[str, Any]]:
    """List all that went into a build, as in-toto's resource descriptors.

    Args:
        order: what was built.
        built: with what.
        source: what identifies the source, as `builder.identity` gives it.
    """
    found = [_source(order, source)]
    if "changes" in source:
        found.append({"name": "patches and replacements", "digest": {"sha256": source["changes"]}})
    found += [_package(pin) for pin in built.environment.pins]
    found += [{"name": name, "digest": {"sha256": digest}} for name, digest in _toolkit(built.tools.toolchain)]
    return found


def compiled_in(order: BuildOrder, built: BuiltWheel) -> tuple[SbomPart, ...]:
    """List what became part of the binaries: the source, headers and static libraries, and the toolkit."""
    package, fetched = order.loaded.recipe.package, order.fetched
    git = isinstance(fetched.source, GitSource)
    hashed = isinstance(fetched.source, SdistSource | UrlSource)
    source = SbomPart(
        role="source",
        name=package.name,
        version=package.version,
        package=isinstance(fetched.source, SdistSource),
        sha256=fetched.identity if hashed else "",
        url=fetched.source.url if isinstance(fetched.source, GitSource | UrlSource) else "",
        commit=fetched.identity if git else "",
    )
    toolchain = built.tools.toolchain
    parts = [source, SbomPart(role="headers", name="cpython", version=str(order.variant.python))]
    parts += _header_packages(built)
    if toolchain.kind != "package":
        parts.append(SbomPart(role="toolkit", name="cuda-toolkit", version=toolchain.release))
    return tuple(parts)


def _source(order: BuildOrder, facts: Mapping[str, str]) -> dict[str, Any]:
    source, identity = order.fetched.source, order.fetched.identity
    if isinstance(source, GitSource):
        return {"name": source.label, "uri": f"git+{source.url}@{source.commit}", "digest": {"gitCommit": identity}}
    if isinstance(source, PathSource):
        # A hash of names, contents and executable bits; no algorithm that others have a name for.
        return {"name": source.label, "digest": {"cudawheelTree": identity}}
    package = order.loaded.recipe.package
    uri = facts.get("url") or f"pkg:pypi/{package.name}@{package.version}"
    return {"name": source.label, "uri": uri, "digest": {"sha256": identity}}


def _package(pin: Pin) -> dict[str, Any]:
    found: dict[str, Any] = {"name": pin.name, "uri": f"pkg:pypi/{pin.name}@{pin.version}"}
    if len(pin.sha256) == 1:
        return {**found, "name": pin.files[0] or pin.name, "digest": {"sha256": pin.sha256[0]}}
    # Which of several files with these hashes was installed, the installation does not say.
    return {**found, "annotations": {"oneOfSha256": list(pin.sha256)}} if pin.sha256 else found


def _toolkit(toolchain: Toolchain) -> Iterator[tuple[str, str]]:
    yield from toolchain.components
    if toolchain.kind == "system":
        for name in _SYSTEM_PARTS:
            path = toolchain.home / name
            if path.is_file():
                yield f"cuda-toolkit/{name}", sha256_of(path)


def _header_packages(built: BuiltWheel) -> list[SbomPart]:
    hashes = {pin.name: pin.sha256[0] for pin in built.environment.pins if len(pin.sha256) == 1}
    found = []
    for distribution in distributions(path=[str(built.environment.site_packages)]):
        name = canonicalize_name(distribution.name)
        if name != "cudawheel" and _brings_headers(distribution):
            found.append(
                SbomPart(
                    role="headers",
                    name=name,
                    version=distribution.version,
                    package=True,
                    sha256=hashes.get(name, ""),
                )
            )
    return sorted(found, key=lambda part: part.name)


def _brings_headers(distribution: Distribution) -> bool:
    return any(
        file.suffix == _STATIC or (file.suffix in _HEADERS and _HEADER_FOLDER in file.parts)
        for file in distribution.files or ()
    )
