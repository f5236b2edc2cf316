"""What a CMakeLists.txt says: its commands with their lines and the conditions that they stand under; never run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cudawheel.draft.cmake_environment import reads_of
from cudawheel.draft.environment_reads import EnvironmentRead
from cudawheel.draft.tree import SourceTree

_COMMENT = re.compile(r"#\[(=*)\[.*?\]\1\]|#[^\n]*", re.DOTALL)
_COMMAND = re.compile(r"([A-Za-z_]\w*)\s*\(")
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|\[(=*)\[(.*?)\]\2\]|([^\s()"]+)', re.DOTALL)
_FETCHES = frozenset({"fetchcontent_declare", "externalproject_add", "cpmaddpackage", "cpmfindpackage"})
_MODULES = frozenset({"pybind11_add_module", "nanobind_add_module", "python_add_library", "python3_add_library"})
_OFF = frozenset({"", "0", "FALSE", "IGNORE", "N", "NO", "NOTFOUND", "OFF"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a CMake file.

    Attributes:
        name: in small letters.
        words: its arguments, quotes taken away.
        conditions: of the `if`s around it, outermost first.
    """

    name: str
    words: tuple[str, ...]
    file: str
    line: int
    conditions: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A switch that CMake's caller may set."""

    name: str
    on: bool
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CMakeFacts:
    """The commands of a project's CMake files, and what is asked of them.

    Attributes:
        commands: in the order of files and lines.
        environment: the environment variables that they ask for, each with its file.
    """

    commands: tuple[Command, ...] = ()
    environment: tuple[tuple[str, EnvironmentRead], ...] = ()

    @property
    def present(self) -> bool:
        """Whether there is a CMakeLists.txt."""
        return bool(self.commands)

    @property
    def uses_cuda(self) -> bool:
        """Whether the CUDA language is switched on somewhere."""
        return bool(self.enabling) or any(
            (command.name == "find_package" and command.words[:1] in {("CUDA",), ("CUDAToolkit",)})
            or command.name == "cuda_add_library"
            for command in self.commands
        )

    @property
    def enabling(self) -> tuple[Command, ...]:
        """The commands that set the CUDA language up."""
        return tuple(
            command
            for command in self.commands
            if command.name in {"project", "enable_language"} and "CUDA" in command.words
        )

    @property
    def packages(self) -> dict[str, Command]:
        """The packages that are looked for, by name."""
        found = (command for command in self.commands if command.name == "find_package" and command.words)
        return {command.words[0]: command for command in reversed(tuple(found))}

    @property
    def options(self) -> tuple[Option, ...]:
        """The switches, those of `option` and booleans of the cache."""
        return tuple(_options(self.commands))

    @property
    def fetches(self) -> tuple[Command, ...]:
        """Commands that fetch something while building."""
        return tuple(
            command
            for command in self.commands
            if (command.name in _FETCHES and not _lies_here(command))
            or (command.name == "file" and command.words[:1] == ("DOWNLOAD",))
        )

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the extension modules for Python that are built, without their package."""
        return tuple(command.words[0] for command in self.commands if command.name in _MODULES and command.words)

    @property
    def first_project(self) -> int:
        """Position of the first command that sets the CUDA language up; CMake asks CUDAARCHS there."""
        for index, command in enumerate(self.commands):
            if command.name in {"project", "enable_language"} and "CUDA" in command.words:
                return index
        return len(self.commands)


def read_cmake(tree: SourceTree) -> CMakeFacts:
    """Read all CMakeLists.txt and `.cmake` files of a project that are its own, the topmost first."""
    names = [name for name in tree.files if name.rsplit("/", 1)[-1] == "CMakeLists.txt" or name.endswith(".cmake")]
    skipped = {"third_party", "3rdparty", "external", "extern", "submodules", "tests", "test", "examples", "docs"}
    own = [name for name in names if not skipped & set(name.lower().split("/")[:-1])]
    if not any(name.endswith("CMakeLists.txt") for name in own):
        return CMakeFacts()
    own.sort(key=lambda name: (name.count("/"), name.endswith(".cmake"), name))
    texts = {name: tree.text(name) for name in own}
    return CMakeFacts(
        commands=tuple(command for name, text in texts.items() for command in parse(text, name)),
        environment=tuple(
            (name, read) for name, text in texts.items() for call in _calls(text) for read in reads_of(*call)
        ),
    )


def parse(text: str, file: str) -> Iterator[Command]:
    """Read the commands of one CMake file; what is no command is passed over."""
    conditions: list[str] = []
    for name, body, line in _calls(text):
        words = tuple(found[1] or found[3] or found[4] or "" for found in _ARGUMENT.finditer(body))
        if name in {"elseif", "else"} and conditions:
            conditions[-1] = f"NOT ({conditions[-1]})"
        if name == "endif" and conditions:
            conditions.pop()
        if name == "if":
            conditions.append(" ".join(body.split()))
        else:
            yield Command(name=name, words=words, file=file, line=line, conditions=tuple(conditions))


def _calls(text: str) -> Iterator[tuple[str, str, int]]:
    """Give each command: its name in small letters, what stands between its parentheses, and its line."""
    # Comments become blanks, so that lines stay where they are.
    plain = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    position = 0
    while match := _COMMAND.search(plain, position):
        end = _closing(plain, match.end())
        yield match[1].lower(), plain[match.end() : end], plain.count("\n", 0, match.start()) + 1
        position = end + 1


def _closing(text: str, start: int) -> int:
    """Find the parenthesis that closes the one before `start`, quoted ones left aside."""
    depth, quoted, index = 1, False, start
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 1
        elif character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")")
            if not depth:
                return index
        index += 1
    return len(text)


def _lies_here(command: Command) -> bool:
    """Whether what would be fetched is a folder that is there already."""
    return "SOURCE_DIR" in command.words and not {"GIT_REPOSITORY", "URL"} & set(command.words)


def _options(commands: tuple[Command, ...]) -> Iterator[Option]:
    for command in commands:
        if command.name in {"option", "cmake_dependent_option"} and command.words:
            default = command.words[2] if len(command.words) > 2 else "OFF"  # noqa: PLR2004 - name, help, default
            yield Option(name=command.words[0], on=_is_on(default), where=command.where)
        elif command.name == "set" and "CACHE" in command.words and "BOOL" in command.words:
            yield Option(name=command.words[0], on=_is_on(command.words[1]), where=command.where)


def _is_on(value: str) -> bool:
    """Whether a value is on whatever happens; one that comes out of a variable need not be."""
    return value.upper() not in _OFF and "$" not in value
