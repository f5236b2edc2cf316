"""Name, version and requirements that a source gives of itself, from all places that say them; where they differ."""

from __future__ import annotations

import configparser
import email
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from cudawheel.draft.setup_script import SetupScript
from cudawheel.draft.tree import SourceTree
from cudawheel.draft.values import Doubt

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# As many patch releases as a torch may come to have.
_PATCHES = 20
# src/NAME/version.py
_DEEPEST = 2
_VERSION_LINE = re.compile(r"""^__version__\s*(?::\s*\w+\s*)?=\s*["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one place says a version is."""

    where: str
    version: str

    @property
    def public(self) -> str:
        """The version without a local part, normalised; empty if it is none."""
        return _public(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a project says of itself.

    Attributes:
        name: normalised; empty if nothing says it.
        version: that its build gives, as far as that can be read, without a local part; empty if nothing says it.
        claims: every version that was read, the most telling one first.
        pyproject: the document, empty if there is none.
        build_requires: of `[build-system]`; None where that names none.
        requires: what the installed package requires.
        requires_python: such as `>=3.9`.
    """

    name: str
    version: str
    claims: tuple[Claim, ...] = ()
    pyproject: dict[str, Any] = field(default_factory=dict, repr=False)
    build_requires: tuple[str, ...] | None = None
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    doubts: tuple[Doubt, ...] = ()

    @property
    def backend(self) -> str:
        """The build backend that pyproject.toml names; empty if it names none."""
        return str(table_of(self.pyproject, "build-system").get("build-backend", ""))

    def tool(self, name: str) -> dict[str, Any]:
        """Give a table `[tool.NAME]`."""
        return table_of(table_of(self.pyproject, "tool"), name)

    def needs(self, distribution: str) -> Requirement | None:
        """Give the build requirement on a distribution, if pyproject.toml names one."""
        return _requirement_on(distribution, self.build_requires or ())

    def runs_with(self, distribution: str) -> Requirement | None:
        """Give the requirement on a distribution at run time."""
        return _requirement_on(distribution, self.requires)

    def allows_python(self, version: str) -> bool:
        """Whether a Python such as `3.12` is allowed."""
        try:
            return SpecifierSet(self.requires_python).contains(f"{version}.99")
        except InvalidSpecifier:
            return True

    def allows_torch(self, version: str) -> bool:
        """Whether some patch release of a torch such as `2.11` is allowed, to build with and to run with."""
        bounds = [found.specifier for found in (self.needs("torch"), self.runs_with("torch")) if found]
        patches = (f"{version}.{patch}" for patch in range(_PATCHES))
        return any(all(bound.contains(patch) for bound in bounds) for patch in patches)


def read_metadata(
    tree: SourceTree, setup: SetupScript, *, promised: tuple[Claim, ...] = (), name: str = ""
) -> Metadata:
    """Collect what a project says of itself.

    Args:
        promised: versions that came with the source, such as that of a file name.
        name: that came with the source; empty for none.
    """
    document, broken = _pyproject(tree)
    project = table_of(document, "project")
    info = email.message_from_string(tree.text("PKG-INFO"))
    config = _setup_cfg(tree)
    system = table_of(document, "build-system")
    names = (project.get("name"), setup.settings.get("name"), config.get("name"), info.get("Name"), name)
    own = next((canonicalize_name(text) for text in names if isinstance(text, str) and _NAME.fullmatch(text)), "")
    stated = _claims(project, setup, config)
    claims = (*stated, *_claims_of_files(tree, own, info.get("Version", "")), *promised)
    version = next((text for claim in claims if (text := claim.public)), "")
    requires = project.get("dependencies") or setup.settings.get("install_requires") or info.get_all("Requires-Dist")
    python = project.get("requires-python") or setup.settings.get("python_requires") or info.get("Requires-Python")
    return Metadata(
        name=own,
        version=version,
        claims=claims,
        pyproject=document,
        build_requires=_texts(system["requires"]) if isinstance(system.get("requires"), list) else None,
        requires=_texts(requires),
        requires_python=python if isinstance(python, str) else "",
        doubts=(*broken, *_contradictions(claims, version, own, name)),
    )


def table_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a table of a document, an empty one where something else stands under its name."""
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _pyproject(tree: SourceTree) -> tuple[dict[str, Any], tuple[Doubt, ...]]:
    try:
        return tomllib.loads(tree.text("pyproject.toml")), ()
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = f"pyproject.toml is not TOML: {error}"
        return {}, (Doubt(field="sources", found=found, edit="Mend it by a patch; no build frontend can read it."),)


def _setup_cfg(tree: SourceTree) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(tree.text("setup.cfg"))
    except configparser.Error:
        return {}
    return dict(parser["metadata"]) if parser.has_section("metadata") else {}


def _claims(project: dict[str, Any], setup: SetupScript, config: dict[str, str]) -> Iterator[Claim]:
    """Give what is built into a wheel first: pyproject.toml, setup.py, setup.cfg."""
    if isinstance(project.get("version"), str):
        yield Claim(where="pyproject.toml", version=project["version"])
    if isinstance(setup.settings.get("version"), str):
        yield Claim(where="setup.py", version=setup.settings["version"])
    if (text := config.get("version", "")) and not text.startswith(("attr:", "file:")):
        yield Claim(where="setup.cfg", version=text)


def _claims_of_files(tree: SourceTree, own: str, info: str) -> Iterator[Claim]:
    """Give the versions that the code states, and that of PKG-INFO."""
    for file in _version_files(tree, own):
        if match := _VERSION_LINE.search(tree.text(file)):
            yield Claim(where=file, version=match[1])
    if info:
        yield Claim(where="PKG-INFO", version=info)


def _version_files(tree: SourceTree, own: str) -> Iterator[str]:
    """Give the files that state the version by custom: those of the package's own folder, if it has one."""
    names = ("__init__.py", "version.py", "_version.py", "__about__.py")
    files = [file for file in tree.files if file.rsplit("/", 1)[-1] in names and file.count("/") <= _DEEPEST]
    mine = [file for file in files if "/" in file and canonicalize_name(file.split("/")[-2]) == own]
    yield from mine or files


def _public(text: str) -> str:
    try:
        return Version(text).public
    except InvalidVersion:
        return ""


def _contradictions(claims: tuple[Claim, ...], version: str, own: str, name: str) -> Iterator[Doubt]:
    differing = [claim for claim in claims if claim.public != version]
    if version and differing:
        first = next(claim for claim in claims if claim.public == version)
        others = ", ".join(f"{claim.where} says {claim.version}" for claim in differing)
        yield Doubt(
            field="package.version",
            found=f"the source contradicts itself: {first.where} says {first.version}, {others}",
            edit="Write the version that the wheel gets; a build whose wheel has another one is refused. If you did "
            "not expect this, find out who published the source before you build it.",
        )
    if not version:
        yield Doubt(
            field="package.version",
            found="no file of the source states a version; it is made up as the package builds",
            edit="Write the version that the wheel gets; for setuptools-scm and its like, set it in "
            "build.environment as SETUPTOOLS_SCM_PRETEND_VERSION.",
        )
    if name and own and canonicalize_name(name) != own:
        yield Doubt(
            field="package.name",
            found=f"the source calls itself {own} and was asked for as {canonicalize_name(name)}",
            edit="Make sure that this is the package you mean; the wheel bears the source's own name.",
        )


def _requirement_on(distribution: str, requirements: tuple[str, ...]) -> Requirement | None:
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == distribution:
            return requirement
    return None
