"""How a package takes its compute capabilities, and what has to change where it does not take any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cudawheel.data import recipe_environment_patterns
from cudawheel.draft.cmake import Command
from cudawheel.draft.environment_reads import EnvironmentRead
from cudawheel.draft.gencodes import HARD_WIRED, find_hard_wired
from cudawheel.draft.project import Project, Way
from cudawheel.draft.values import Doubt, Finding, Line

TORCH = "TORCH_CUDA_ARCH_LIST"
CMAKE = "CMAKE_CUDA_ARCHITECTURES"
_KNOWN = frozenset({TORCH, CMAKE, "CUDAARCHS", "ARCHFLAGS", "CUDA_ARCH_LIST_TORCH"})
_OWN = re.compile(r"(CUDA|GPU|NVCC|SM|TARGET)\w*ARCH|ARCH_?LIST|GENCODE|COMPUTE_?CAP|SM_LIST|_ARCHS$")
_NOT_CUDA = re.compile(r"ROCM|HIP|AMD|OFFLOAD|MUSA|SYCL|XPU|HCU")
_ITEMS = (
    (re.compile(r"\d+\.\d+a?"), "{capability}"),
    (re.compile(r"\d{2,3}a?"), "{number}"),
    (re.compile(r"sm_\d{2,3}a?"), "sm_{number}"),
)
_PROPERTY = re.compile(r"""(?<![\w])CUDA_ARCHITECTURES\s+("[^"]*"|[^\s)"]+)""")
_TEXTS = (".md", ".rst", ".txt", ".sh", ".yml", ".yaml", "Makefile", "Dockerfile", "PKG-INFO")
_MOST_READ = 400
_FIELD = "build.capability-list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of the package's own; the fields are those of the recipe's `capability-list`."""

    variable: str
    item: str
    separator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityChoice:
    """What was found out about the capability list.

    Attributes:
        style: `torch`, `cmake`, or a variable of the package's own.
        lines: of the source that have to change so that it counts.
    """

    style: str | Variable
    lines: tuple[Line, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def takes_ptx(self) -> bool:
        """Whether PTX can be asked for; a package's own list has no way to say it."""
        return isinstance(self.style, str)


def choose_capability_list(project: Project) -> CapabilityChoice:
    """Find out how a package takes the list."""
    own = [(file, read) for file, read in project.setup.environment if _is_own(read)]
    if own:
        return _own_variable(project, *own[0], others=tuple(read.name for _, read in own[1:]))
    if project.way.by_cmake and "Torch" not in project.cmake.packages:
        return _by_cmake(project)
    if project.way is Way.MESON:
        return _by_meson(project)
    return _by_torch(project)


def is_capability_variable(name: str) -> bool:
    """Whether a variable is about capabilities, whoever's it is."""
    return name in _KNOWN or bool(_OWN.search(name))


def may_be_set(name: str) -> bool:
    """Whether a recipe may set an environment variable."""
    return any(fnmatchcase(name, pattern) for pattern in recipe_environment_patterns())


def _is_own(read: EnvironmentRead) -> bool:
    return (
        not read.written
        and read.name not in _KNOWN
        and bool(_OWN.search(read.name))
        and not _NOT_CUDA.search(read.name)
    )


def _own_variable(project: Project, file: str, read: EnvironmentRead, others: tuple[str, ...]) -> CapabilityChoice:

    example = read.default or _example(project, read.name)
    separator = read.separator or next((mark for mark in ";, " if mark in example), ";")
    items = [item.strip() for item in re.split(r"[;, ]", example) if item.strip()]
    item = next((template for shape, template in _ITEMS if items and shape.fullmatch(items[0])), "")
    where = f"{file}:{read.line}"
    said = f"{read.name}, a variable of its own{f', by default {read.default!r}' if read.default else ''}"
    finding = Finding(topic="capability list", said=said, where=where)
    if not may_be_set(read.name):
        doubt = Doubt(
            field=_FIELD,
            found=f"{where} takes the list from {read.name}, which a recipe may not set",
            edit=f"Let a replacement read {TORCH} there, or build with what the package chooses by itself.",
        )
        style = "torch" if project.uses_torch else "cmake"
        return CapabilityChoice(style=style, findings=(finding,), doubts=(doubt,))
    doubts = [] if item else [_spelling(where, read.name)]
    if others := tuple(sorted({name for name in others if name != read.name})):
        found = f"other variables speak of architectures, too: {', '.join(others)}"
        doubts.append(Doubt(field=_FIELD, found=found, edit=f"Make sure that {read.name} is the one that counts."))
    own = Variable(variable=read.name, item=item or "{number}", separator=separator[:3])
    return CapabilityChoice(style=own, findings=(finding,), doubts=tuple(doubts))


def _example(project: Project, name: str) -> str:
    """Find how the package's own texts spell the list: `NAME="8.0;9.0"` in a README, a Makefile, a script."""
    shape = re.compile(rf"""{re.escape(name)}\s*=\s*["']?((?:sm_)?\d[\d.a]*(?:[;, ](?:sm_)?\d[\d.a]*)*)""")
    texts = [file for file in project.tree.files if file.endswith(_TEXTS) or "/" not in file]
    found = [match for file in texts[:_MOST_READ] for match in shape.findall(project.tree.text(file))]
    # The longest one shows the separator, too.
    return max(found, key=len, default="")


def _spelling(where: str, name: str) -> Doubt:
    return Doubt(
        field=_FIELD,
        found=f"how {name} spells its list is not to be seen at {where}; 80;90 is assumed",
        edit="Read how it is split and compared; `item` is one of {number} 86, {capability} 8.6, {major}, {minor}.",
    )


def _by_torch(project: Project) -> CapabilityChoice:
    findings: list[Finding] = []
    doubts: list[Doubt] = []
    lines: list[Line] = []
    for file, tree in project.setup.trees:
        found = find_hard_wired(tree, project.tree.text(file), file)
        if found.made_up:
            doubts.append(_made_up(file, found.made_up))
        elif found.lines:
            spots = _numbers(found.lines)
            findings.append(
                Finding(topic="capability list", said="hard-wired into flags for nvcc", where=f"{file}:{spots}")
            )
            lines += found.replacements
            doubts.append(_taken_out(file, spots) if found.replacements else _hard_wired(file, spots))
    for file, read in project.setup.environment:
        if read.name == TORCH and read.written and not read.kept:
            doubts.append(_overwritten(f"{file}:{read.line}", read.condition))
    if project.way.by_cmake:
        doubts += [_cmake_flags(command) for command in project.cmake.commands if _gives_flags(command)]
    if not any(finding.topic == "capability list" for finding in findings):
        findings.append(Finding(topic="capability list", said=f"{TORCH}, by torch's own build code"))
    if not project.uses_torch:
        doubts.append(_nobody_asks())
        return CapabilityChoice(style="cmake", lines=tuple(lines), doubts=tuple(doubts))
    return CapabilityChoice(style="torch", lines=tuple(lines), findings=tuple(findings), doubts=tuple(doubts))


def _by_cmake(project: Project) -> CapabilityChoice:
    findings: list[Finding] = []
    doubts: list[Doubt] = []
    lines: list[Line] = []
    first = project.cmake.first_project
    for index, command in enumerate(project.cmake.commands):
        row = project.tree.text(command.file).split("\n")[command.line - 1]
        line = _made_open(command, row, after=index > first)
        if line is None:
            continue
        findings.append(Finding(topic="capability list", said=f"set by {row.strip()}", where=command.where))
        if line.new:
            lines.append(line)
            doubts.append(_opened(command.where))
        else:
            doubts.append(_hard_wired(command.file, str(command.line)))
    doubts += [_cmake_flags(command) for command in project.cmake.commands if _gives_flags(command)]
    doubts += [_hard_wired(file, str(line)) for file, line, text in project.setup.strings if f"-D{CMAKE}" in text]
    for number, line in _defined(project):
        said = f"set by {line.old.strip()}"
        findings.append(Finding(topic="capability list", said=said, where=f"pyproject.toml:{number}"))
        lines += [line] if line.new else []
        doubts.append(_opened(f"pyproject.toml:{number}") if line.new else _hard_wired("pyproject.toml", str(number)))
    if not findings:
        findings.append(Finding(topic="capability list", said="CMake's own, through CUDAARCHS"))
    unique = tuple({line.old: line for line in lines}.values())
    return CapabilityChoice(style="cmake", lines=unique, findings=tuple(findings), doubts=tuple(doubts))


def _made_open(command: Command, row: str, *, after: bool) -> Line | None:
    """Say how a command that fixes the architectures gives way to CUDAARCHS; None if it fixes nothing.

    CMake asks CUDAARCHS only where CMAKE_CUDA_ARCHITECTURES is not set as the CUDA language is switched on
    (cmake-env-variables, "CUDAARCHS"): whatever sets it before, under a condition or not, comes first.

    Args:
        after: whether the language is on already.
    """
    asked = " ".join(command.conditions)
    if command.name == "set" and command.words[:1] == (CMAKE,):
        if "CUDAARCHS" in asked or (after and CMAKE in asked):
            return None
        whole = row.strip().startswith("set") and row.rstrip().endswith(")")
        indent = row[: len(row) - len(row.lstrip())]
        new = f"{indent}if(NOT DEFINED ENV{{CUDAARCHS}})\n  {row}\n{indent}endif()" if whole else ""
        return Line(file=command.file, old=row, new=new)
    words = command.words
    if command.name in {"set_target_properties", "set_property"} and "CUDA_ARCHITECTURES" in words[:-1]:
        value = words[words.index("CUDA_ARCHITECTURES") + 1]
        if value == f"${{{CMAKE}}}" or value.upper() == "OFF":
            return None
        new = _PROPERTY.sub(f'CUDA_ARCHITECTURES "${{{CMAKE}}}"', row)
        return Line(file=command.file, old=row, new=new if new != row else "")
    return None


def _gives_flags(command: Command) -> bool:
    return any(HARD_WIRED.search(word) for word in command.words)


def _defined(project: Project) -> Iterator[tuple[int, Line]]:
    """Give the lines of pyproject.toml that define CMake's variable; a definition beats the environment.

    One that holds nothing else gets a line that takes it out; the others get an empty one.
    """
    text = project.tree.text("pyproject.toml")
    for number, row in enumerate(text.split("\n"), 1):
        if CMAKE not in row or row.lstrip().startswith("#"):
            continue
        alone = re.fullmatch(rf"""\s*["']?(cmake\.define\.)?{CMAKE}["']?\s*=\s*("[^"]*"|'[^']*')\s*(#.*)?""", row)
        new = f"# {row.strip()}" if alone and text.count(row) == 1 else ""
        yield number, Line(file="pyproject.toml", old=row, new=new)


def _by_meson(project: Project) -> CapabilityChoice:
    doubt = Doubt(
        field=_FIELD,
        found="Meson has no variable for compute capabilities; each project passes nvcc's flags in its own way",
        edit="Read meson.build and its options; pass what they take in build.config-settings, as setup-args, or "
        "replace the line that names the flags.",
    )
    return CapabilityChoice(
        style="torch" if project.uses_torch else "cmake",
        findings=(Finding(topic="capability list", said="up to meson.build"),),
        doubts=(doubt,),
    )


def _numbers(lines: tuple[int, ...]) -> str:
    return str(lines[0]) if len(lines) == 1 else f"{lines[0]}-{lines[-1]}"


def _taken_out(file: str, spots: str) -> Doubt:
    return Doubt(
        field="build.replacements",
        found=f"{file}:{spots} hard-wires compute capabilities, which would keep {TORCH} from counting",
        edit="The replacements take these flags out. Look them over; conditions around them may be left empty.",
    )


def _opened(where: str) -> Doubt:
    return Doubt(
        field="build.replacements",
        found=f"{where} fixes the architectures, whatever is asked for",
        edit="The replacement lets CUDAARCHS come first. Look it over.",
    )


def _hard_wired(file: str, spots: str) -> Doubt:
    return Doubt(
        field="build.replacements",
        found=f"{file}:{spots} hard-wires compute capabilities, in a way that is not to be undone line by line",
        edit="Write [[build.replacements]] or a patch that takes them out; as it is, the wheel carries those and "
        "the audit refuses it.",
    )


def _made_up(file: str, lines: tuple[int, ...]) -> Doubt:
    return Doubt(
        field=_FIELD,
        found=f"{file}:{_numbers(lines)} puts flags for nvcc together from a list of its own",
        edit="Find where that list comes from: a variable of the package belongs into capability-list, a list in "
        "the code into [[build.replacements]].",
    )


def _overwritten(where: str, condition: str) -> Doubt:
    return Doubt(
        field="build.replacements",
        found=f"{where} overwrites {TORCH}{f' where {condition}' if condition else ''}; what is asked for does not "
        "count then",
        edit="Unless that cannot happen here, replace the line by `pass`.",
    )


def _cmake_flags(command: Command) -> Doubt:
    return Doubt(
        field="build.replacements",
        found=f"{command.where} gives nvcc architectures in its flags, beside those asked for",
        edit="Take them out with [[build.replacements]] or a patch.",
    )


def _nobody_asks() -> Doubt:
    return Doubt(
        field=_FIELD,
        found="nothing in the build says where compute capabilities come from",
        edit="Read how nvcc is started; without flags it compiles for its oldest capability alone.",
    )
