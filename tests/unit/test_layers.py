"""Which room may import which, what only some may touch, and how long anything may be."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[2] / "cudawheel"

# Room: what it may import of cudawheel. "cudawheel" itself, the empty top, is free to all.
MAY_IMPORT: dict[str, frozenset[str]] = {
    room: frozenset(allowed.split())
    for room, allowed in {
        "errors": "",
        "process": "errors",
        "files": "errors",
        "unpacking": "errors",
        "download": "errors files model",
        "model": "errors",
        "data": "errors model",
        "recipe": "errors model data",
        "plan": "errors model data recipe",
        "toolchain": "errors model data process files unpacking download",
        "schedule": "errors model data process",
        "backend": "errors model data toolchain schedule",
        "explain": "errors data",
        "builder": "errors process files unpacking download model data recipe plan toolchain schedule explain",
        "draft": "errors process files download model data recipe plan builder",
        "wheel": "errors model files data",
        "audit": "errors model data process files wheel",
        "provenance": "errors files",
        "store": "errors model files wheel",
        "index": "errors files model wheel store",
        "factory": (
            "errors process files unpacking download model data recipe plan toolchain schedule explain builder wheel "
            "audit provenance store"
        ),
        "containers": ("errors process files model data recipe plan toolchain schedule explain builder wheel audit"),
        "ci": "errors model data recipe plan schedule builder factory",
        "farm": "errors process files unpacking model data recipe plan toolchain schedule builder store factory",
        "doctor": "errors model data process files recipe plan toolchain schedule builder audit",
        "triposr": "errors",
        "verify": "errors process files model data recipe toolchain builder wheel audit store triposr",
        "report": "errors files model data schedule wheel audit provenance store index verify",
        "cli": (
            "errors process files unpacking download model data recipe plan toolchain schedule backend builder wheel "
            "audit provenance store index factory verify report triposr doctor explain draft ci containers farm"
        ),
        "__main__": "cli",
    }.items()
}
# What Dask calls on a worker begins in the farm's room: no command line has read the environment there.
READS_ENVIRONMENT = {"cli", "toolchain", "schedule", "backend", "process", "farm"}
STARTS_PROGRAMS = {"process"}
# Programs of their own, not part of the process that imports the rest. The launcher stands in front of each compiler
# and starts within milliseconds, for which it imports nothing of ours; nvcc_steps runs in nvcc's place, asks it for its
# steps, and runs them or makes way for it; the leash stands between us and a backend and must outlive this process;
# no_network takes the network from itself and makes way for a backend.
# None of them may do more than what is named here.
PROGRAMS_OF_THEIR_OWN = {
    "builder/no_network.py": ["os.execvp"],
    "schedule/launcher.py": ["os.execv", "os.posix_spawnp"],
    "schedule/leash.py": ["os.posix_spawnp"],
    "schedule/nvcc_steps.py": ["os.execv", "os.posix_spawn", "subprocess", "subprocess.run"],
    "verify/child.py": ["subprocess.PIPE", "subprocess.Popen"],
}
PRINTS = {"cli"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
ONE_PROJECT = "torchmcubes"
# Suites that verify one package's wheels may know its name, and what runs on it: the TripoSR runner and its command.
# Patterns of what goes wrong quote the logs of real packages, and link to their issues.
KNOW_IT = (
    PACKAGE / "verify" / "suites",
    PACKAGE / "triposr",
    PACKAGE / "cli" / "reconstruct.py",
    PACKAGE / "data" / "patterns",
)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(source: str) -> ast.Module:
    """Parse a module once for all the searches in it."""
    return ast.parse(source)


@cache
def nodes(source: str) -> list[ast.AST]:
    return list(ast.walk(parsed(source)))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Every imported name with its module, wherever the import stands; relative ones as `.`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def wrong_imports(room: str, source: str) -> list[str]:
    """Every import of a room that the table does not allow; absolute ones only are allowed at all."""
    wrong = []
    for name in imports_of(parsed(source)):
        top, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if top == "" or (top == "cudawheel" and other not in {"", "__version__", room, *MAY_IMPORT[room]}):
            wrong.append(name)
    return wrong


def environment_reads(source: str) -> list[int]:
    names = {"environ", "environb", "getenv", "getenvb"}
    return [
        node.lineno
        for node in nodes(source)
        if (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {alias.name for alias in node.names})
    ]


def program_starts(source: str) -> list[str]:
    modules_that_start = {"subprocess", "pty", "multiprocessing"}
    functions_that_start = ("os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn")
    names = [
        *imports_of(parsed(source)),
        *(ast.unparse(node) for node in nodes(source) if isinstance(node, ast.Attribute)),
    ]
    started = {
        name for name in names if name.split(".")[0] in modules_that_start or name.startswith(functions_that_start)
    }
    return sorted(started)


def prints(source: str) -> list[str]:
    called = [ast.unparse(node.func) for node in nodes(source) if isinstance(node, ast.Call)]
    printed = [name for name in called if name in {"print", "click.echo", "click.secho"}]
    return printed + [name for name in imports_of(parsed(source)) if name.split(".")[0] in {"rich", "click"}]


def long_functions(source: str) -> list[str]:
    return [
        f"{node.name}: {length}"
        for node in nodes(source)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) >= LONGEST_FUNCTION
    ]


def offences(find: Callable[[str], list[Any]], *, free: AbstractSet[str] = frozenset()) -> dict[str, list[Any]]:
    """What a search finds in the modules of all rooms but those that are free to do it."""
    return {
        str(path.relative_to(PACKAGE)): found
        for path in modules()
        if room_of(path) not in free and (found := find(path.read_text(encoding="utf-8")))
    }


def test_every_room_stands_in_the_table() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}
    assert rooms == set(MAY_IMPORT)


def test_the_table_lets_nobody_import_in_a_circle() -> None:
    reached = {room: set(allowed) for room, allowed in MAY_IMPORT.items()}
    for _ in MAY_IMPORT:
        reached = {room: seen.union(*(reached[other] for other in seen)) for room, seen in reached.items()}
    assert [room for room, seen in reached.items() if room in seen] == []


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = {
        str(path.relative_to(PACKAGE)): found
        for path in modules()
        if room_of(path) != "__init__" and (found := wrong_imports(room_of(path), path.read_text(encoding="utf-8")))
    }
    assert wrong == {}


def test_the_top_of_the_package_imports_nothing() -> None:
    assert list(imports_of(ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "planted",
    [
        "from cudawheel.factory.factory import make_wheel",
        "import cudawheel.store.store",
        "from cudawheel import plan",
        "def late():\n    from cudawheel.plan.plan import Plan",
        "class Late:\n    def late(self):\n        import cudawheel.cli",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cudawheel.recipe.recipe import Recipe",
        "from ..plan import plan",
        "from . import options",
        "try:\n    import cudawheel.audit\nexcept ImportError:\n    pass",
    ],
)
def test_a_planted_import_is_caught(planted: str) -> None:
    assert len(wrong_imports("backend", planted)) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        "import cudawheel",
        "from cudawheel.errors import CudawheelError",
        "from cudawheel.backend.policy import Policy",
        "from cudawheel import toolchain",
        "import cudawheelwright",
        "'from cudawheel.plan import plan'",
    ],
)
def test_an_allowed_import_is_let_through(harmless: str) -> None:
    assert wrong_imports("backend", harmless) == []


def test_only_some_rooms_read_the_environment() -> None:
    assert offences(environment_reads, free=READS_ENVIRONMENT) == {}


@pytest.mark.parametrize(
    "planted",
    [
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "from os import environ",
        "from os import path, getenv",
    ],
)
def test_a_planted_look_at_the_environment_is_caught(planted: str) -> None:
    assert len(environment_reads(planted)) == 1
    assert environment_reads("import os\nos.path\nrequest.environ['A']") == []


def test_only_one_module_starts_programs() -> None:
    assert offences(program_starts, free=STARTS_PROGRAMS) == PROGRAMS_OF_THEIR_OWN


@pytest.mark.parametrize(
    "planted",
    [
        "import subprocess",
        "from subprocess import run",
        "def f():\n    import subprocess as s",
        "os.system('x')",
        "os.posix_spawn('x', ['x'], {})",
        "import os\nchild = os.posix_spawnp('x', ['x'], {})",
        "from os import posix_spawn",
        "from os import path, execv",
    ],
)
def test_a_planted_program_is_caught(planted: str) -> None:
    assert len(program_starts(planted)) == 1


def test_what_only_sounds_like_starting_a_program_is_let_through() -> None:
    assert program_starts("import os\nos.POSIX_SPAWN_DUP2\nos.environ\nprocess.stream\nsubprocesses") == []


def test_only_the_command_line_prints() -> None:
    assert offences(prints, free=PRINTS) == {}


@pytest.mark.parametrize(
    "planted", ["print('x')", "click.echo('x')", "from rich.console import Console", "import rich"]
)
def test_a_planted_print_is_caught(planted: str) -> None:
    assert len(prints(planted)) == 1


def test_files_and_functions_stay_short() -> None:
    assert offences(long_functions) == {}
    assert offences(lambda source: source.splitlines()[LONGEST_FILE - 1 :]) == {}


def test_a_long_function_is_caught() -> None:
    body = "\n".join("    x = 1" for _ in range(LONGEST_FUNCTION - 1))
    assert long_functions(f"def long():\n{body}\n") == [f"long: {LONGEST_FUNCTION}"]
    assert long_functions(f"class Long:\n{body}\n") == []


def test_the_factory_knows_no_package_by_name() -> None:
    texts = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    knowing = [
        path
        for path in texts
        if ONE_PROJECT.encode() in path.read_bytes().lower() and not {path, *path.parents}.intersection(KNOW_IT)
    ]
    assert knowing == []
