"""Field types of recipes: text from outside, checked and turned into the model's own values."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from string import Formatter
from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from cudawheel.data import capability_names, recipe_environment_patterns
from cudawheel.errors import CudawheelError
from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion

_TEMPLATE_FIELDS = ("capability", "major", "minor", "number")


class _Parsed:
    """Let pydantic read a model value from its text, and write it back with `str()`."""

    def __init__(self, parse: Callable[[str], Any], pattern: str, example: str) -> None:
        self._parse = parse
        self._pattern = pattern
        self._example = example

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            self._read,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": self._pattern, "examples": [self._example]}

    def _read(self, text: str) -> object:
        if not re.search(self._pattern, text, re.ASCII):
            message = f"allowed is a text such as {self._example}"
            raise ValueError(message)
        try:
            return self._parse(text)
        except CudawheelError as error:
            # pydantic collects ValueError and goes on, so that a recipe reports all its faults at once.
            raise ValueError(f"{error.what}. {error.remedy}") from error


def _package_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        message = "allowed is a package name: letters, digits, '.', '_' and '-', letters or digits at both ends"
        raise ValueError(message)
    return canonicalize_name(text)


def _version(text: str) -> str:
    try:
        version = Version(text)
    except InvalidVersion as error:
        message = "allowed is a PEP 440 version such as 1.0.3"
        raise ValueError(message) from error
    if version.local:
        message = "allowed is a version without a local part; cudawheel writes that itself"
        raise ValueError(message)
    return str(version)


def _requirement(text: str) -> str:
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        message = "allowed is a PEP 508 requirement such as setuptools>=77"
        raise ValueError(message) from error


def _environment_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII):
        message = "allowed is a name of letters, digits and _"
        raise ValueError(message)
    if not any(fnmatchcase(text, pattern) for pattern in recipe_environment_patterns()):
        message = f"allowed are {', '.join(recipe_environment_patterns())}; capabilities come from [capabilities]"
        raise ValueError(message)
    return text


def _relative_path(text: str) -> str:
    if not text or text.startswith(("/", "~")) or {"\\", "\0"} & set(text) or ".." in text.split("/"):
        message = "allowed is a path below the recipe's folder or the source, with / and without .."
        raise ValueError(message)
    return text


def _environment_value(text: str) -> str:
    if "\0" in text:
        message = "allowed is any text without NUL"
        raise ValueError(message)
    return text


def _template_item(text: str) -> str:
    message = "allowed are the fields {capability}, {major}, {minor} and {number}, at least one of them"
    try:
        parts = [part[1:] for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise ValueError(message) from error
    if not parts or any(part not in {(name, "", None) for name in _TEMPLATE_FIELDS} for part in parts):
        raise ValueError(message)
    return text


PackageName = Annotated[str, AfterValidator(_package_name)]
PackageVersion = Annotated[str, AfterValidator(_version)]
RequirementText = Annotated[str, AfterValidator(_requirement)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
EnvironmentValue = Annotated[str, AfterValidator(_environment_value)]
RelativePath = Annotated[str, AfterValidator(_relative_path)]
TemplateItem = Annotated[str, AfterValidator(_template_item)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
GitCommit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
# A fallback's label leads the local version and must sort below the `cu` of a genuine wheel (PEP 440: by letter).
Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,19}$")]
GitUrl = Annotated[str, StringConstraints(pattern=r"^(https|ssh|file)://\S+$")]
FileUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
ImportName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]

# Extras of the package cuda-toolkit: cublas, cudart, cusparse and so on.
CudaLibrary = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*$")]

CapabilityRequestField = Annotated[
    CapabilityRequest,
    _Parsed(lambda text: CapabilityRequest.parse(text, capability_names()), r"\S", "7.5;8.0;12.0+PTX"),
]
TorchAbiField = Annotated[
    TorchAbi, _Parsed(TorchAbi.parse, r"^torch-minor$|^torch-stable\s*>=\s*\d+\.\d+$", "torch-stable >= 2.10")
]
PythonVersionField = Annotated[PythonVersion, _Parsed(PythonVersion.parse, r"^\d+\.\d+$", "3.12")]
TorchVersionField = Annotated[TorchVersion, _Parsed(TorchVersion.parse, r"^\d+\.\d+$", "2.11")]
CudaVersionField = Annotated[CudaVersion, _Parsed(CudaVersion.parse, r"^\d+\.\d+$", "13.0")]
