"""What a setup.py says, read from its syntax tree. It is never run: a setup.py may do anything."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cudawheel.draft.environment_reads import EnvironmentRead, EnvironmentReads
from cudawheel.draft.folding import OPEN, Constants
from cudawheel.draft.tree import SourceTree

_EXTENSIONS = ("CUDAExtension", "CppExtension", "CMakeExtension", "Extension")
_NETWORK = ("urlopen", "urlretrieve", "requests.get", "wget.download", "download_url_to_file", "snapshot_download")
_PROGRAMS = ("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "os.system")
_GPU = ("cuda.is_available", "cuda.get_device_capability", "cuda.device_count", "cuda.get_device_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One extension module that is built.

    Attributes:
        kind: the class, such as `CUDAExtension`.
        name: of the module; None where it is made up as setup.py runs.
        sources: those that are named outright.
    """

    kind: str
    name: str | None
    sources: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupScript:
    """The facts of a setup.py and of the modules beside it that it imports.

    Attributes:
        present: whether there is one.
        broken: why it cannot be read; empty if it can.
        trees: file and syntax tree.
        imports: top names of all modules that are imported, with the file and line of the first import.
        always: those of them that are imported whatever happens; the others stand in functions, conditions or `try`.
        environment: file and what it reads.
        libraries: that extensions are linked to, as far as they are named outright.
        settings: keywords of the call of `setup`, as far as they are constants.
        asks_gpu: places that ask whether a GPU is there.
        gpu_or_nothing: file and number of the lines that end setup.py where no GPU is there.
        network: places that fetch something.
        opened: files that are opened to be read, as far as they are named outright, with the place.
        without_ninja: places that switch ninja off, outright.
        torch_builds: whether torch's BuildExtension is used.
        runs_cmake: whether it starts CMake.
    """

    present: bool = False
    broken: str = ""
    trees: tuple[tuple[str, ast.Module], ...] = field(default=(), repr=False)
    imports: dict[str, str] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    environment: tuple[tuple[str, EnvironmentRead], ...] = ()
    extensions: tuple[Extension, ...] = ()
    libraries: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    asks_gpu: tuple[str, ...] = ()
    gpu_or_nothing: tuple[tuple[str, int], ...] = ()
    network: tuple[str, ...] = ()
    opened: tuple[tuple[str, str], ...] = ()
    without_ninja: tuple[str, ...] = ()
    torch_builds: bool = False
    runs_cmake: bool = False

    @property
    def strings(self) -> tuple[tuple[str, int, str], ...]:
        """File, line and value of every text in the code."""
        return tuple(
            (file, node.lineno, node.value)
            for file, tree in self.trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )


def read_setup(tree: SourceTree) -> SetupScript:
    """Read `setup.py` of a source and the modules of its own folder that it imports."""
    if not tree.has("setup.py"):
        return SetupScript()
    try:
        main = _parse(tree.text("setup.py"))
    except (SyntaxError, ValueError, RecursionError) as error:
        return SetupScript(present=True, broken=str(error))
    trees = [("setup.py", main)]
    for name in _imports(main, "setup.py"):
        beside = f"{name}.py"
        if tree.has(beside) and beside != "setup.py":
            try:
                trees.append((beside, _parse(tree.text(beside))))
            except (SyntaxError, ValueError, RecursionError):
                continue
    return _facts(trees)


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        # Other people's regular expressions without an r in front are no matter of ours.
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _facts(trees: list[tuple[str, ast.Module]]) -> SetupScript:
    imports: dict[str, str] = {}
    environment: list[tuple[str, EnvironmentRead]] = []
    extensions: list[Extension] = []
    settings: dict[str, Any] = {}
    for file, tree in trees:
        constants = Constants(tree)
        for name, where in _imports(tree, file).items():
            imports.setdefault(name, where)
        environment += [(file, read) for read in EnvironmentReads(tree, constants).all()]
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            extensions += _extension(call, constants, file)
            if ast.unparse(call.func) in {"setup", "setuptools.setup", "skbuild.setup"}:
                settings.update(_keywords(call, constants))
    text = "\n".join(ast.unparse(tree) for _, tree in trees)
    return SetupScript(
        present=True,
        trees=tuple(trees),
        imports=imports,
        always=frozenset(name for file, tree in trees for name in _imports_of(tree.body, file)),
        environment=tuple(environment),
        extensions=tuple(extensions),
        libraries=tuple(_libraries(trees)),
        settings=settings,
        asks_gpu=tuple(_calls_of(trees, _GPU)),
        gpu_or_nothing=tuple(_gpu_or_nothing(trees)),
        network=tuple(_network(trees)),
        opened=tuple(_opened(trees)),
        without_ninja=tuple(_without_ninja(trees)),
        torch_builds="BuildExtension" in text and "cpp_extension" in text,
        runs_cmake=any(value == "cmake" for _, tree in trees for value in _texts(tree)),
    )


def _imports(tree: ast.Module, file: str) -> dict[str, str]:
    return _imports_of(ast.walk(tree), file)


def _imports_of(nodes: Iterable[ast.AST], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            line = f"{file}:{node.lineno}" if isinstance(node, ast.stmt) else file
            found.setdefault(name.split(".")[0], line)
    return found


def _extension(call: ast.Call, constants: Constants, file: str) -> Iterator[Extension]:
    kind = ast.unparse(call.func).split(".")[-1]
    names = {word.arg: word.value for word in call.keywords if word.arg}
    name = names.get("name") or (call.args[0] if call.args else None)
    sources = names.get("sources") or (call.args[1] if len(call.args) > 1 else None)
    # A class under another name, chosen as setup.py runs, is still called as one: with a dotted name and sources.
    alike = kind.lower() in {"extension", "ext", "ext_class", "extension_class"}
    if kind not in _EXTENSIONS and not (alike and name is not None and sources is not None):
        return
    yield Extension(
        kind=kind, name=constants.text(name), sources=constants.texts(sources), where=f"{file}:{call.lineno}"
    )


def _libraries(trees: list[tuple[str, ast.Module]]) -> Iterator[str]:
    for _, tree in trees:
        constants = Constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "libraries":
                yield from constants.texts(node.value)


def _keywords(call: ast.Call, constants: Constants) -> dict[str, Any]:
    folded = {word.arg: constants.fold(word.value) for word in call.keywords if word.arg}
    return {name: value for name, value in folded.items() if value is not OPEN}


def _calls_of(trees: list[tuple[str, ast.Module]], endings: tuple[str, ...]) -> Iterator[str]:
    for file, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(endings):
                yield f"{file}:{node.lineno}"


def _gpu_or_nothing(trees: list[tuple[str, ast.Module]]) -> Iterator[tuple[str, int]]:
    """Find `if not torch.cuda.is_available(): raise …`."""
    for file, tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.If) or not isinstance(node.test, ast.UnaryOp):
                continue
            asks = isinstance(node.test.op, ast.Not) and ast.unparse(node.test.operand).endswith("cuda.is_available()")
            ends = any(isinstance(inner, ast.Raise) or ast.unparse(inner).startswith("sys.exit") for inner in node.body)
            if asks and ends and not node.orelse and node.test.lineno == node.test.end_lineno == node.lineno:
                yield file, node.lineno


def _opened(trees: list[tuple[str, ast.Module]]) -> Iterator[tuple[str, str]]:
    for file, tree in trees:
        constants = Constants(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args or ast.unparse(node.func) not in {"open", "io.open"}:
                continue
            modes = (
                [node.args[1]] if len(node.args) > 1 else [word.value for word in node.keywords if word.arg == "mode"]
            )
            name = constants.text(node.args[0])
            if name and not any(set(constants.text(mode) or "w") & set("wax") for mode in modes):
                yield name, f"{file}:{node.lineno}"


def _network(trees: list[tuple[str, ast.Module]]) -> Iterator[str]:
    yield from _calls_of(trees, _NETWORK)
    for file, tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(_PROGRAMS) or not node.args:
                continue
            words = " ".join(_texts(node.args[0])).split()
            if words[:1] in (["curl"], ["wget"]) or (words[:1] == ["git"] and {"clone", "submodule"} & set(words)):
                yield f"{file}:{node.lineno}"


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _without_ninja(trees: list[tuple[str, ast.Module]]) -> Iterator[str]:
    """Find `use_ninja=False`, unless it stands under a condition or in a class that does."""
    for file, tree in trees:
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "use_ninja" and _is_false(node.value):
                here: ast.AST | None = node
                while here is not None and not isinstance(here, ast.If):
                    here = parents.get(here)
                if here is None:
                    yield f"{file}:{node.value.lineno}"


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
