"""A project as its files show it: which backend builds it, in which way, and whether CUDA and torch come into it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import Enum

from cudawheel.draft.cmake import CMakeFacts, read_cmake
from cudawheel.draft.metadata import Claim, Metadata, read_metadata
from cudawheel.draft.setup_script import SetupScript, read_setup
from cudawheel.draft.tree import SourceTree

_TORCH_HEADER = re.compile(r"#\s*include\s*[<\"](torch|ATen|c10)/")
_STABLE_HEADER = re.compile(r"#\s*include\s*[<\"]torch/csrc/(stable|inductor/aoti_torch)/")
_MESON_CUDA = re.compile(r"(project|add_languages)\s*\([^)]*'cuda'", re.DOTALL)
_JIT = re.compile(
    r"(cpp_extension\s*\.\s*load(_inline)?\s*\(|import\s+load(_inline)?\b|\bload_inline\s*\(|RawKernel\s*\(|RawModule\s*\("
    r"|SourceModule\s*\(|@cuda\.jit|@triton\.jit|\bnvrtc\b)"
)
_MOST_READ = 400


class Way(Enum):
    """How a package is built; the value is what a person calls it."""

    SKBUILD_CORE = "scikit-build-core"
    MESON = "meson-python"
    OWN = "cudawheel's own backend"
    TORCH_NINJA = "setuptools with torch's extension builder, through ninja"
    TORCH_PLAIN = "setuptools with torch's extension builder, without ninja"
    SKBUILD = "CMake through scikit-build"
    CMAKE = "CMake through setuptools"
    SETUPTOOLS = "setuptools"
    UNKNOWN = "a backend that is not known here"

    @property
    def by_cmake(self) -> bool:
        """Whether CMake compiles."""
        return self in {Way.SKBUILD_CORE, Way.OWN, Way.SKBUILD, Way.CMAKE}

    @property
    def by_torch(self) -> bool:
        """Whether torch's extension builder compiles."""
        return self in {Way.TORCH_NINJA, Way.TORCH_PLAIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """All that was read of a source."""

    tree: SourceTree
    setup: SetupScript
    cmake: CMakeFacts
    metadata: Metadata
    way: Way

    @property
    def buildable(self) -> bool:
        """Whether there is a pyproject.toml or setup.py at all."""
        return self.setup.present or self.tree.has("pyproject.toml")

    @property
    def compiles_cuda(self) -> bool:
        """Whether anything in the build says that CUDA code is compiled."""
        classes = {extension.kind for extension in self.setup.extensions}
        names = "CUDAExtension" in classes or any(
            isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("CUDAExtension")
            for _, tree in self.setup.trees
            for node in ast.walk(tree)
        )
        # A setup.py that starts nvcc itself names it, or hands .cu files to its extensions.
        own = (self.tree.cuda or self.tree.brought_along) and any(
            text == "nvcc" or text.endswith(("/nvcc", ".cu")) for _, _, text in self.setup.strings
        )
        return names or bool(own) or (self.cmake.uses_cuda and self.cmake_counts) or self.meson_cuda

    @property
    def cmake_counts(self) -> bool:
        """Whether CMake has a part in the build; many a setup.py has a CMakeLists.txt beside it for C++ users alone."""
        return self.way.by_cmake or self.way is Way.UNKNOWN

    @property
    def meson_cuda(self) -> bool:
        """Whether Meson's CUDA language is switched on."""
        return any(_MESON_CUDA.search(self.tree.text(name)) for name in self.tree.matching("*meson.build"))

    @property
    def uses_torch(self) -> bool:
        """Whether it is built against torch; one that only runs beside it is not."""
        return (
            "torch" in self.setup.imports
            or "Torch" in self.cmake.packages
            or self.metadata.needs("torch") is not None
            or any(_TORCH_HEADER.search(self.tree.text(name)) for name in self.tree.code[:_MOST_READ])
        )

    @property
    def stable_abi_alone(self) -> bool:
        """Whether of torch's headers only those of its stable ABI are included."""
        texts = [self.tree.text(name) for name in self.tree.code[:_MOST_READ]]
        included = [line for text in texts for line in text.splitlines() if _TORCH_HEADER.search(line)]
        return bool(included) and all(_STABLE_HEADER.search(line) for line in included)

    @property
    def compiled_when_used(self) -> tuple[str, ...]:
        """Python files that compile something as they are used."""
        names = (name for name in self.tree.files if name.endswith(".py") and name != "setup.py")
        return tuple(name for name in list(names)[:_MOST_READ] if _JIT.search(self.tree.text(name)))


def read_project(tree: SourceTree, *, promised: tuple[Claim, ...] = (), name: str = "") -> Project:
    """Read a source.

    Args:
        promised: versions that came with it, such as that of its file name.
        name: that it was asked for by; empty for none.
    """
    setup, cmake = read_setup(tree), read_cmake(tree)
    metadata = read_metadata(tree, setup, promised=promised, name=name)
    return Project(tree=tree, setup=setup, cmake=cmake, metadata=metadata, way=_way(metadata, setup))


def _way(metadata: Metadata, setup: SetupScript) -> Way:
    backend = metadata.backend
    for start, way in (
        ("scikit_build_core", Way.SKBUILD_CORE),
        ("mesonpy", Way.MESON),
        ("cudawheel", Way.OWN),
    ):
        if backend.startswith(start):
            return way
    # A backend that lies in the project usually wraps setuptools; then there is a setup.py.
    if backend and not backend.startswith("setuptools") and not setup.present:
        return Way.UNKNOWN
    if "skbuild" in setup.imports:
        return Way.SKBUILD
    kinds = {extension.kind for extension in setup.extensions}
    # torch's BuildExtension is also what some derive their own class from that starts CMake.
    if "CMakeExtension" in kinds or (setup.runs_cmake and not kinds & {"CUDAExtension", "CppExtension"}):
        return Way.CMAKE
    if setup.torch_builds:
        return Way.TORCH_PLAIN if setup.without_ninja else Way.TORCH_NINJA
    return Way.SETUPTOOLS
