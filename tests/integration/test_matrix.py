"""A whole matrix: killed, started again by two at once, and installed by pip out of its index into each environment.

The package is an extension in C++ that setuptools compiles in seconds; torch and the toolkit are there in name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import run
from fake_tools import write_toolkit
from index_server import clean, static
from small_packages import PYTHON, path_source, write_recipe, write_wheel
from uv import find_uv_bin

from cudawheel.errors import PythonNotFoundError
from cudawheel.index.export import export
from cudawheel.index.scan import Scanner
from cudawheel.model.version import PythonVersion
from cudawheel.toolchain.interpreter import find_python

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TORCHES = ("2.11", "2.12", "2.13")

SETUP = """
import importlib.metadata, pathlib, sys, time
from setuptools import Extension, setup

if "bdist_wheel" in sys.argv:
    torch = importlib.metadata.version("torch")
    hold = pathlib.Path({hold!r})
    while torch.startswith("2.13") and hold.exists():
        hold.with_name("held").touch()
        time.sleep(0.05)
    with open({count!r}, "a") as sink:
        sink.write(f"{{sys.version_info.minor}}-{{torch}}\\n")
setup(name="tiny-ext", version="1.0", ext_modules=[Extension("tiny_ext", ["tiny.cpp"])])
"""

CODE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject* answer(PyObject*, PyObject*) { return PyLong_FromLong(PY_MINOR_VERSION); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "tiny_ext", nullptr, -1, methods};
PyMODINIT_FUNC PyInit_tiny_ext() { return PyModule_Create(&module); }
"""


def second_python() -> PythonVersion | None:
    """Another Python than this one that can be built with here."""
    for minor in (12, 13, 10, 11):
        version = PythonVersion(3, minor)
        if str(version) != PYTHON:
            try:
                find_python(version, environ=os.environ, running=Path(sys.executable))
            except PythonNotFoundError:
                continue
            return version
    return None


OTHER = second_python()
pytestmark.append(pytest.mark.skipif(OTHER is None, reason="a matrix needs a second Python, and none is installed"))
PYTHONS = (PYTHON, str(OTHER))


class Factory:
    """The command line for the package, in an environment in which torch and the toolkit are only names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hold, self.count, self.links = folder / "hold", folder / "count", folder / "links"
        source = folder / "recipes" / "here"
        source.mkdir(parents=True)
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
        )
        (source / "setup.py").write_text(SETUP.format(hold=str(self.hold), count=str(self.count)))
        (source / "tiny.cpp").write_text(CODE)
        text = write_recipe(folder / "recipes", path_source("here")).read_text()
        text = text.replace(f'["{PYTHON}"]', json.dumps(PYTHONS)).replace('["2.11"]', json.dumps(TORCHES))
        self.recipe = folder / "recipes" / "tiny.toml"
        self.recipe.write_text(text)
        self._bring_requirements()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA", "UV_", "PIP_", "CXX", "CC"))}
        self.environ = {
            **inherited,
            "CUDA_HOME": str(write_toolkit(folder / "cuda")),
            "CUDAWHEEL_CACHE": str(folder / "cache"),
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": str(self.links),
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(folder / "uv-cache"),
        }

    def _bring_requirements(self) -> None:
        for torch in TORCHES:
            write_wheel(self.links, "torch", f"{torch}.0")
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", self.links, "setuptools>=77")

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "cudawheel", "build", str(self.recipe), "--all", "--toolchain", "system"]
        command += ["--wheelhouse", str(self.folder / "wheelhouse"), *words]
        return subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def stored(self) -> int:
        return len(list((self.folder / "cache" / "store").glob("*/record.json")))

    def built(self) -> Counter[str]:
        return Counter(self.count.read_text().split())


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    made = Factory(tmp_path)
    yield made
    made.hold.unlink(missing_ok=True)


def finish(running: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, err = running.communicate(timeout=400)
    assert running.returncode == 0, err
    attempts: list[dict[str, Any]] = json.loads(out)
    return attempts


def wait_until_held(factory: Factory, running: subprocess.Popen[str], stored: int) -> None:
    for _ in range(4000):
        if factory.stored() == stored and factory.hold.with_name("held").exists():
            return
        if running.poll() is not None:
            pytest.fail(f"ended with {running.returncode}: {running.communicate()[1]}")
        time.sleep(0.05)
    pytest.fail(f"{factory.stored()} of {stored} wheels came")


def test_a_matrix_is_killed_goes_on_and_installs_everywhere(factory: Factory, tmp_path: Path) -> None:
    factory.hold.touch()
    killed = factory.start()
    wait_until_held(factory, killed, stored=4)
    killed.kill()
    killed.communicate(timeout=60)
    assert factory.built() == {f"{python[2:]}-{torch}.0": 1 for python in PYTHONS for torch in TORCHES[:2]}
    factory.hold.unlink()
    # Started again, and by two at once: what is finished is there, and the rest is built by one of them.
    results = [finish(running) for running in (factory.start("--json"), factory.start("--json"))]
    for attempts in results:
        assert [attempt["result"] for attempt in attempts[:4]] == ["from the store"] * 4
        assert len(attempts) == 6
    words = Counter(attempt["result"] for attempts in results for attempt in attempts[4:])
    assert words == {"built": 2, "from the store": 2}
    assert set(factory.built().values()) == {1}, "no cell is built twice"
    assert len(factory.built()) == 6
    install_everywhere(factory, tmp_path)


def install_everywhere(factory: Factory, tmp_path: Path) -> None:
    """Let pip find the right wheel for each Python and torch in a static index, and run its code."""
    house = tmp_path / "wheelhouse"
    for torch in factory.links.glob("torch-*.whl"):
        shutil.copy(torch, house)
    export(Scanner(house).scan().index, tmp_path / "index", wheelhouse=house)
    with static(tmp_path / "index", tmp_path / "log") as server:
        for python in PYTHONS:
            for torch in TORCHES:
                folder = tmp_path / "environments" / f"{python}-{torch}"
                found = find_python(PythonVersion.parse(python), environ=os.environ, running=Path(sys.executable))
                run(find_uv_bin(), "venv", "--quiet", "--no-config", "--python", found.path, folder, env=clean())
                there = folder / "bin" / "python"
                pip = [sys.executable, "-m", "pip", "--isolated", "--python", there, "install", "--quiet"]
                pip += ["--disable-pip-version-check", "--no-cache-dir", "--index-url", server.index]
                run(*pip, "tiny-ext", f"torch=={torch}.*", env=clean())
                program = "import importlib.metadata as m, torch, tiny_ext; "
                program += "print(torch.__version__, m.version('tiny-ext'), tiny_ext.answer())"
                said = run(there, "-I", "-c", program, cwd=tmp_path)
                assert said.split() == [f"{torch}.0", f"1.0+cu.13.0.torch.{torch}", python[2:]]
