"""nvcc is the oracle: what its steps make side by side is what it makes itself, and so is what they complain about."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from conftest import PACKAGES, RECIPE, ROOT, Cudawheel
from elftools.elf.elffile import ELFFile

from cudawheel.schedule import nvcc_steps

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

GENCODE = (
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=sm_90",
    "-gencode=arch=compute_120,code=[sm_120,compute_120]",
)
FLAGS = (*GENCODE, "-std=c++17", "-O3", "-Xcompiler", "-fPIC")
SOURCES = {
    "tiny_cuda": PACKAGES / "tiny_cuda" / "kernel.cu",
    "torchmcubes": ROOT / "recipes" / "torchmcubes" / "src" / "marching_cubes.cu",
}
THREADS = [1, 2, 8]
# Symbols are named after intermediate files, which nvcc names after its process.
MAY_DIFFER = {".symtab", ".strtab"}
KERNEL = "__global__ void scale(float* values) { values[threadIdx.x] *= 2.0f; }\n"
MISTAKES = {
    "in a kernel": f"{KERNEL}__global__ void wrong(float* values) {{ values[0] = nowhere; }}\n",
    "for the host alone": f"{KERNEL}#ifndef __CUDA_ARCH__\nint wrong() {{ return nowhere; }}\n#endif\n",
    "for one capability": f"{KERNEL}#if __CUDA_ARCH__ == 900\nint wrong() {{ return nowhere; }}\n#endif\n",
    "a missing header": f"#include <nowhere.h>\n{KERNEL}",
    "in assembly": '__global__ void wrong() { asm("nonsense;"); }\n',
    "for the host compiler": f'{KERNEL}extern "C" void wrong() {{ asm("nonsense"); }}\n',
}


@dataclass(frozen=True)
class Compiled:
    """What came of a compilation: exit status, output, and the files that it wrote."""

    code: int
    out: str
    err: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Compiler:
    """The nvcc of a composed toolkit, by itself or in steps, with a folder for what it makes."""

    nvcc: Path
    folder: Path
    environment: dict[str, str]

    def itself(self, *arguments: str | Path) -> Compiled:
        return self._run([self.nvcc, *arguments])

    def in_steps(self, threads: int, *arguments: str | Path) -> Compiled:
        return self._run([sys.executable, "-IS", nvcc_steps.__file__, str(threads), self.nvcc, *arguments])

    def _run(self, command: list[str | Path]) -> Compiled:
        here, scratch = self.folder / "here", self.folder / "scratch"
        for made in (here, scratch):
            made.mkdir(exist_ok=True)
        environment = {**self.environment, "TMPDIR": str(scratch)}
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        files = {path.name: path.read_bytes() for path in here.iterdir()}
        for path in here.iterdir():
            path.unlink()
        assert list(scratch.iterdir()) == []
        return Compiled(done.returncode, done.stdout, done.stderr, files)


@pytest.fixture(scope="module")
def nvcc(cudawheel: Cudawheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nvcc with which a small package was built."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "tiny_cuda").symlink_to(PACKAGES / "tiny_cuda")
    recipe = folder / "tiny_cuda.toml"
    recipe.write_text(RECIPE.format(name="tiny-cuda", name_="tiny_cuda"))
    cudawheel.build(recipe, "--wheelhouse", folder / "wheelhouse")
    toolkits = Path(cudawheel.environment["CUDAWHEEL_CACHE"], "toolkits")
    return min(toolkits.glob("cuda-13.0-*")) / "bin" / "nvcc"


@pytest.fixture
def compiler(nvcc: Path, cudawheel: Cudawheel, tmp_path: Path) -> Compiler:
    return Compiler(nvcc=nvcc, folder=tmp_path, environment=cudawheel.environment)


def sections_of(content: bytes, path: Path) -> dict[str, bytes]:
    path.write_bytes(content)
    with path.open("rb") as file:
        return {section.name: section.data() for section in ELFFile(file).iter_sections()}


def was_compiled_in_steps(done: Compiled) -> bool:
    """Whether an object's symbols are named after our intermediate files rather than nvcc's."""
    return b"tmpxft-" in done.files["unit.o"] and b"tmpxft_" not in done.files["unit.o"]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_an_object_is_nvccs_own_but_for_the_names_of_intermediate_files(
    source: Path, compiler: Compiler, tmp_path: Path
) -> None:
    command = (*FLAGS, "-c", source, "-o", "unit.o")
    theirs = compiler.itself(*command)
    assert theirs.code == 0
    nvccs = sections_of(theirs.files["unit.o"], tmp_path / "theirs.o")
    objects = set()
    for threads in THREADS:
        ours = compiler.in_steps(threads, *command)
        assert (ours.code, ours.out, ours.err) == (0, theirs.out, theirs.err)
        assert was_compiled_in_steps(ours)
        assert not was_compiled_in_steps(theirs)
        objects.add(ours.files["unit.o"])
    assert len(objects) == 1
    sections = sections_of(objects.pop(), tmp_path / "ours.o")
    assert sections[".nv_fatbin"] == nvccs[".nv_fatbin"]
    assert len(sections[".nv_fatbin"]) > 1000
    assert {name for name in {*sections, *nvccs} if sections.get(name) != nvccs.get(name)} <= MAY_DIFFER


@pytest.mark.parametrize(
    "wish",
    [
        ["-MD"],
        ["-MMD"],
        ["-MMD", "-MP", "-MF", "other.d"],
        ["-MD", "-MT", "target", "-MF=other.d"],
        ["--generate-dependencies-with-compile", "--dependency-target-name=t", "--dependency-output", "other.d"],
    ],
    ids=" ".join,
)
def test_dependencies_are_nvccs_own(wish: list[str], compiler: Compiler) -> None:
    command = (*FLAGS, *wish, "-c", SOURCES["torchmcubes"], "-o", "unit.o")
    theirs = compiler.itself(*command)
    [name] = set(theirs.files) - {"unit.o"}
    assert b"case_tables.h" in theirs.files[name]
    ours = compiler.in_steps(2, *command)
    assert was_compiled_in_steps(ours)
    assert ours.files == {**theirs.files, "unit.o": ours.files["unit.o"]}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_as_nvcc_tells_it(mistake: str, threads: int, compiler: Compiler) -> None:
    def without_names(text: str) -> str:
        return re.sub(r"\S*/tmpxft\S*-(?=\d+_wrong)", "", text)

    source = compiler.folder / "wrong.cu"
    source.write_text(MISTAKES[mistake])
    command = (*FLAGS, "-c", source, "-o", "unit.o")
    theirs, ours = compiler.itself(*command), compiler.in_steps(threads, *command)
    assert theirs.code != 0
    assert "error" in theirs.err.lower()
    assert (ours.code, ours.files) == (theirs.code, theirs.files)
    assert without_names(ours.out + ours.err) == without_names(theirs.out + theirs.err)


@pytest.mark.parametrize("threads", THREADS)
def test_warnings_and_reports_come_in_nvccs_order(threads: int, compiler: Compiler) -> None:
    def without_times(text: str) -> str:
        return re.sub(r"Compile time = \S+ ms", "", text)

    source = compiler.folder / "warned.cu"
    source.write_text(f"{KERNEL}__global__ void warned() {{ int unused; }}\n")
    command = (*FLAGS, "-Xptxas", "-v", "-c", source, "-o", "unit.o")
    theirs, ours = compiler.itself(*command), compiler.in_steps(threads, *command)
    assert was_compiled_in_steps(ours)
    assert "unused" in ours.err
    assert ours.err.index("'sm_80'") < ours.err.index("'sm_90'") < ours.err.index("'sm_120'")
    assert without_times(ours.out + ours.err) == without_times(theirs.out + theirs.err)


def test_names_with_blanks_quotes_and_letters_are_compiled(compiler: Compiler, tmp_path: Path) -> None:
    source = tmp_path / 'a "folder"' / "it's naïve.cu"
    source.parent.mkdir()
    source.write_text(KERNEL)
    command = (*FLAGS, "-MMD", '-DTEXT="a b"', "-c", source, "-o", "unit.o")
    theirs, ours = compiler.itself(*command), compiler.in_steps(2, *command)
    assert (theirs.code, ours.code) == (0, 0)
    assert was_compiled_in_steps(ours)
    assert ours.files["unit.d"] == theirs.files["unit.d"]
    assert (
        sections_of(ours.files["unit.o"], tmp_path / "ours.o")[".nv_fatbin"]
        == sections_of(theirs.files["unit.o"], tmp_path / "theirs.o")[".nv_fatbin"]
    )


def test_relocatable_device_code_is_left_to_nvcc(compiler: Compiler) -> None:
    command = (*FLAGS, "-rdc=true", "-c", SOURCES["tiny_cuda"], "-o", "unit.o")
    ours = compiler.in_steps(2, *command)
    assert ours.code == 0
    assert not was_compiled_in_steps(ours)


def test_objects_of_equal_sources_can_be_linked_together(compiler: Compiler) -> None:
    source = compiler.folder / "same.cu"
    source.write_text(
        "namespace { __global__ void twice(float* values) { *values *= 2; } }\n"
        "int NAME(float* values) { twice<<<1, 1>>>(values); return cudaGetLastError(); }\n"
    )
    objects = []
    for name in ("one", "two"):
        done = compiler.in_steps(2, *FLAGS, f"-DNAME={name}", "-c", source, "-o", "unit.o")
        assert was_compiled_in_steps(done)
        objects.append(compiler.folder / f"{name}.o")
        objects[-1].write_bytes(done.files["unit.o"])
    linked = compiler.itself("-shared", *objects, "-o", "both.so", f"-L{compiler.nvcc.parents[1] / 'lib'}")
    assert (linked.code, set(linked.files)) == (0, {"both.so"})


@pytest.mark.parametrize("capability", ["75", "80", "86", "89", "90", "100", "120"])
def test_the_decoders_kernel_compiles_for_every_capability_and_fits_its_registers(
    capability: str, compiler: Compiler
) -> None:
    source = files("cudawheel.triposr").joinpath("decode_grid.cu")
    done = compiler.itself("-cubin", f"-arch=sm_{capability}", "-Xptxas", "-v", "-o", "unit.cubin", Path(str(source)))
    assert done.code == 0, done.err
    assert "0 bytes spill stores, 0 bytes spill loads" in done.out + done.err
