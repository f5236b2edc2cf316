"""The PEP 517 door for extension authors."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scikit_build_core.build
from fake_tools import compiler, give, toolchain, write_program, write_toolkit
from packaging.requirements import Requirement

from cudawheel import backend
from cudawheel.backend import cuda
from cudawheel.backend.cuda import cuda_environment
from cudawheel.backend.policy import Policy, read_policy
from cudawheel.errors import CapabilityError, HostCompilerError, RecipeError, ToolchainError, UsageError
from cudawheel.schedule.history import CostKey, History
from cudawheel.schedule.limits import MIB
from cudawheel.toolchain.provide import ToolchainRequest

TABLE = '[tool.cudawheel]\ncapabilities = "8.0;9.0+PTX"\ntorch = "2.11"\n'
PROJECT = """[build-system]
requires = ["cudawheel"]
build-backend = "cudawheel.backend"

[project]
name = "tiny-ext"
version = "1.0"

[tool.scikit-build]
wheel.cmake = false
wheel.packages = ["src/tiny_ext"]

"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without anything to compile, in the current folder, as a frontend calls hooks."""
    folder = tmp_path / "project"
    (folder / "src" / "tiny_ext").mkdir(parents=True)
    (folder / "src" / "tiny_ext" / "__init__.py").write_text("answer = 42\n")
    (folder / "pyproject.toml").write_text(PROJECT + TABLE)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CUDAWHEEL_CUDA_HOME", raising=False)
    # What compilers cost is remembered below the person's cache.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ToolchainRequest]:
    """A toolkit and a compiler in name; gives what was asked for."""
    asked: list[ToolchainRequest] = []

    def provide(kind: str, request: ToolchainRequest) -> Any:
        assert kind == "package"
        asked.append(request)
        return toolchain(write_toolkit(tmp_path / "cuda"))

    found = compiler()
    cxx, cc = (write_program(tmp_path / "bin" / path.name, "#!/bin/sh\n") for path in (found.cxx, found.cc) if path)
    monkeypatch.setattr(cuda, "_MEMORY", MIB)  # so that no test waits for room
    monkeypatch.setattr(cuda, "provide", provide)
    monkeypatch.setattr(cuda, "find_host_compiler", give(replace(found, cxx=cxx, cc=cc)))
    return asked


def names(requirements: list[str]) -> set[str]:
    return {Requirement(text).name for text in requirements}


@pytest.mark.usefixtures("project")
class TestPolicy:
    def test_it_is_read_from_the_projects_table(self) -> None:
        policy = read_policy(None)
        assert (str(policy.torch), str(policy.cuda), policy.toolchain) == ("2.11", "13.0", "package")
        assert policy.prepared_home is None
        assert policy.project == "tiny-ext"

    @pytest.mark.parametrize("head", ["", '[project]\nversion = "1.0"\n'])
    def test_a_project_without_a_name_goes_by_that_of_its_folder(self, head: str) -> None:
        Path("pyproject.toml").write_text(head + TABLE)
        assert read_policy(None).project == "project"

    def test_config_settings_have_the_last_word(self) -> None:
        settings = {"cudawheel.torch": "2.12", "cudawheel.toolchain": "system", "cmake.define.A": "1"}
        policy = read_policy(settings)
        assert (str(policy.torch), policy.toolchain) == ("2.12", "system")

    def test_a_surrounding_build_is_known_by_its_toolkit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDAWHEEL_CUDA_HOME", "/somewhere")
        assert read_policy(None).prepared_home == Path("/somewhere")

    @pytest.mark.parametrize(
        ("table", "said"),
        [
            ("", ["tool.cudawheel.capabilities: found nothing", "tool.cudawheel.torch: found nothing"]),
            (TABLE + 'arch = "8.0"\n', ["tool.cudawheel.arch: found '8.0'"]),
            (TABLE + 'toolchain = "redist"\n', ["tool.cudawheel.toolchain: found 'redist'"]),
            (TABLE.replace('"2.11"', "2.11"), ["tool.cudawheel.torch: found 2.11"]),
            (TABLE.replace("2.11", "1.0"), ["tool.cudawheel.torch: found '1.0'", "2.11"]),
        ],
    )
    def test_faults_are_named_all_at_once(self, table: str, said: list[str]) -> None:
        Path("pyproject.toml").write_text(PROJECT + table)
        with pytest.raises(RecipeError, match=r"pyproject\.toml") as caught:
            read_policy(None)
        for text in said:
            assert text in caught.value.why

    @pytest.mark.parametrize(
        ("settings", "kind"),
        [
            ({"cudawheel.capabilities": "sm_banana"}, CapabilityError),
            ({"cudawheel.torch": "newest"}, UsageError),
            ({"cudawheel.torch": ["2.11", "2.12"]}, RecipeError),
            ({"cudawheel.colour": "red"}, RecipeError),
        ],
    )
    def test_faults_of_settings_are_named(self, settings: Mapping[str, Any], kind: type[Exception]) -> None:
        with pytest.raises(kind):
            read_policy(settings)


@pytest.mark.usefixtures("project")
class TestRequires:
    def test_a_wheel_needs_torch_and_a_toolkit_and_what_builds_it(self) -> None:
        wanted = backend.get_requires_for_build_wheel()
        assert {"torch", "cmake", "ninja", "cuda-toolkit"} <= names(wanted)
        (torch,) = (Requirement(text) for text in wanted if text.startswith("torch"))
        assert torch.specifier.contains("2.11.1")
        assert not torch.specifier.contains("2.12.0")

    def test_an_editable_install_needs_the_same(self) -> None:
        assert {"torch", "cmake", "ninja", "cuda-toolkit"} <= names(backend.get_requires_for_build_editable())

    def test_settings_choose_the_torch(self) -> None:
        assert "torch==2.12.*" in backend.get_requires_for_build_wheel({"cudawheel.torch": "2.12"})

    def test_an_sdist_needs_no_cuda(self) -> None:
        assert not {"torch", "cuda-toolkit"} & names(backend.get_requires_for_build_sdist())

    def test_a_toolkit_of_the_system_is_not_installed(self) -> None:
        wanted = names(backend.get_requires_for_build_wheel({"cudawheel.toolchain": "system"}))
        assert "cuda-toolkit" not in wanted
        assert "torch" in wanted

    def test_within_a_build_of_ours_torch_and_toolkit_are_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDAWHEEL_CUDA_HOME", "/somewhere")
        wanted = names(backend.get_requires_for_build_wheel())
        assert not {"torch", "cuda-toolkit"} & wanted
        assert {"cmake", "ninja"} <= wanted

    def test_a_cuda_without_packaged_compiler_is_refused(self) -> None:
        with pytest.raises(ToolchainError):
            backend.get_requires_for_build_wheel({"cudawheel.torch": "2.8"})


class TestHooks:
    def test_metadata_is_written_without_a_toolkit(self, project: Path, tmp_path: Path) -> None:
        folder = tmp_path / "metadata"
        folder.mkdir()
        info = backend.prepare_metadata_for_build_wheel(str(folder), {"cudawheel.torch": "2.12"})
        assert "Name: tiny-ext" in (folder / info / "METADATA").read_text()
        other = tmp_path / "editable"
        other.mkdir()
        assert backend.prepare_metadata_for_build_editable(str(other)) == info
        assert project.is_dir()

    def test_an_sdist_holds_the_project(self, project: Path, tmp_path: Path) -> None:
        name = backend.build_sdist(str(tmp_path), {"cudawheel.torch": "2.12"})
        with tarfile.open(tmp_path / name) as sdist:
            assert "tiny_ext-1.0/src/tiny_ext/__init__.py" in sdist.getnames()
        assert project.is_dir()

    def test_a_wheel_is_built_with_the_toolkit_in_the_environment(
        self, project: Path, tools: list[ToolchainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: dict[str, str] = {}
        build = scikit_build_core.build.build_wheel

        def noting(*words: Any) -> str:
            seen.update(os.environ)
            assert words[1] == {}, "settings of ours are not scikit-build-core's"
            return build(*words)

        monkeypatch.setattr(scikit_build_core.build, "build_wheel", noting)
        before = dict(os.environ)
        name = backend.build_wheel(str(tmp_path), {"cudawheel.capabilities": "12.0"})
        assert dict(os.environ) == before
        with zipfile.ZipFile(tmp_path / name) as wheel:
            assert "tiny_ext/__init__.py" in wheel.namelist()
        home = Path(seen["CUDA_HOME"])
        assert (home.parts[-2:], seen["CUDAARCHS"]) == (("compilers", "cuda"), "120-real")
        assert home.is_relative_to(tools[0].folder)
        assert str(tools[0].cuda) == "13.0"
        assert project.is_dir()

    def test_an_editable_wheel_is_built_with_it_too(
        self, project: Path, tools: list[ToolchainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str | None] = []
        monkeypatch.setattr(
            scikit_build_core.build, "build_editable", lambda *_words: seen.append(os.environ.get("CUDAARCHS")) or "x"
        )
        assert backend.build_editable(str(tmp_path)) == "x"
        assert seen == ["80-real;90"]
        assert len(tools) == 1
        assert project.is_dir()


class TestEnvironment:
    @pytest.fixture
    def policy(self, project: Path) -> Policy:
        del project
        return read_policy(None)

    def test_it_is_there_inside_and_gone_outside(
        self, tools: list[ToolchainRequest], policy: Policy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LD_LIBRARY_PATH", "/from/outside")
        before = dict(os.environ)
        with cuda_environment(policy):
            home, host = (tools[0].folder / "compilers" / name for name in ("cuda", "host"))
            assert os.environ["CUDA_HOME"] == str(home)
            assert os.environ["CUDACXX"] == str(home / "bin" / "nvcc")
            assert os.environ["CUDAHOSTCXX"] == os.environ["CXX"] == str(host / "g++")
            assert os.environ["CC"] == str(host / "gcc")
            assert int(os.environ["CMAKE_BUILD_PARALLEL_LEVEL"]) >= 1
            assert "LD_LIBRARY_PATH" not in os.environ
            first = os.environ["PATH"].split(":")[:3]
            assert first == [str(Path(sys.executable).parent), str(home / "bin"), str(host)]
        assert dict(os.environ) == before
        (asked,) = tools
        assert not asked.folder.exists()
        assert asked.machine == platform.machine()

    @pytest.mark.usefixtures("tools")
    def test_it_is_put_back_when_the_build_fails(self, policy: Policy) -> None:
        def fail() -> None:
            with cuda_environment(policy):
                os.environ["MINE"] = "1"
                raise ZeroDivisionError

        before = dict(os.environ)
        with pytest.raises(ZeroDivisionError):
            fail()
        assert dict(os.environ) == before

    @pytest.mark.parametrize(
        ("part", "error"), [("provide", ToolchainError), ("find_host_compiler", HostCompilerError)]
    )
    def test_it_is_left_alone_when_a_tool_is_missing(
        self,
        part: str,
        error: type[Exception],
        tools: list[ToolchainRequest],
        policy: Policy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seen: list[dict[str, str]] = []

        def missing(*_words: object) -> None:
            seen.append(dict(os.environ))
            raise error("not here")

        monkeypatch.setattr(cuda, part, missing)
        before = dict(os.environ)
        with pytest.raises(error), cuda_environment(policy):
            pytest.fail("there is nothing to build with")
        assert seen == [before], "whoever looks for tools needs the person's PATH"
        assert dict(os.environ) == before
        assert len(tools) <= 1

    def test_a_surrounding_build_has_set_everything_already(
        self, project: Path, tools: list[ToolchainRequest], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDAWHEEL_CUDA_HOME", str(project))
        before = dict(os.environ)
        with cuda_environment(read_policy(None)):
            assert dict(os.environ) == before
        assert tools == []

    @pytest.mark.usefixtures("tools", "project")
    def test_capabilities_that_nvcc_does_not_know_are_left_out(self) -> None:
        with cuda_environment(read_policy({"cudawheel.capabilities": "7.0;8.0;12.0+PTX"})):
            assert os.environ["CUDAARCHS"] == "80-real;120"

    @pytest.mark.usefixtures("tools", "project")
    def test_a_list_of_which_nvcc_knows_nothing_is_refused(self) -> None:
        policy = read_policy({"cudawheel.capabilities": "7.0"})
        with pytest.raises(CapabilityError), cuda_environment(policy):
            pytest.fail("there is nothing to compile for")

    @pytest.mark.usefixtures("tools")
    def test_pips_path_of_requirements_is_kept(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(project))
        with cuda_environment(read_policy(None)):
            assert os.environ["PYTHONPATH"] == str(project)

    def test_the_toolkit_is_looked_for_where_requirements_lie(
        self, project: Path, tools: list[ToolchainRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nvcc = tmp_path / "overlay" / "nvidia" / "cu13" / "bin" / "nvcc"
        nvcc.parent.mkdir(parents=True)
        nvcc.touch()
        monkeypatch.syspath_prepend(str(tmp_path / "overlay"))
        with cuda_environment(read_policy(None)):
            assert tools[0].site_packages == tmp_path / "overlay"
        assert project.is_dir()


class TestCompilers:
    @pytest.fixture
    def policy(self, project: Path) -> Policy:
        del project
        return read_policy(None)

    def remembered(self, tmp_path: Path) -> list[tuple[str, str]]:
        history = History(tmp_path / "cache" / "cudawheel" / "costs.sqlite")
        key = CostKey(package="tiny-ext", fingerprint="", cuda="13.0", torch="2.11", memory=1)
        return [(source, kind) for source, kind, cost in history.units_of(key) if cost.measured]

    @pytest.mark.usefixtures("tools")
    @pytest.mark.parametrize(
        ("called", "source", "kind"),
        [
            ('"$CUDACXX"', "src/a.cu", "device"),
            ('"$CUDA_HOME/bin/nvcc"', "src/a.cu", "device"),
            ("nvcc", "src/a.cu", "device"),
            ('"$CXX"', "src/a.cpp", "host"),
            ('"$CC"', "src/a.c", "host"),
            ("g++", "src/a.cpp", "host"),
        ],
    )
    def test_whichever_way_a_compiler_is_called_it_waits_its_turn_and_is_measured(
        self, called: str, source: str, kind: str, policy: Policy, tmp_path: Path
    ) -> None:
        with cuda_environment(policy):
            done = subprocess.run(f"{called} -c {source} -o a.o", shell=True, timeout=60, check=False)  # noqa: S602
        assert done.returncode == 0
        assert self.remembered(tmp_path) == [(source, kind)]

    @pytest.mark.usefixtures("tools")
    def test_what_is_not_a_compiler_is_the_toolkits_own(self, policy: Policy, tmp_path: Path) -> None:
        with cuda_environment(policy):
            home = Path(os.environ["CUDA_HOME"])
            found = {path.name for path in home.rglob("*") if path.resolve().is_relative_to(tmp_path / "cuda")}
            answer = subprocess.run([home / "bin" / "nvcc", "--version"], capture_output=True, check=False, timeout=60)
        assert {path.name for path in (tmp_path / "cuda").iterdir()} - {"bin"} <= found
        assert "nvcc" not in found
        assert b"release 13.0" in answer.stdout
        assert self.remembered(tmp_path) == [], "a question costs nothing"

    def test_nothing_is_left_of_it_afterwards(self, tools: list[ToolchainRequest], policy: Policy) -> None:
        def serving() -> list[str]:
            return [thread.name for thread in threading.enumerate() if thread.name == "jobserver"]

        with cuda_environment(policy):
            assert serving() == ["jobserver"]
            assert Path(os.environ["CUDA_HOME"]).is_dir()
        assert serving() == []
        assert not tools[0].folder.exists()

    @pytest.mark.usefixtures("tools")
    def test_what_people_should_know_goes_where_frontends_show_it(
        self, policy: Policy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_program(tmp_path / "bin" / "g++", "#!/bin/sh\nkill -9 $$\n")
        with cuda_environment(policy):
            done = subprocess.run([os.environ["CXX"], "-c", "src/a.cpp"], capture_output=True, timeout=60, check=False)
        assert done.returncode == 137
        again, end = capsys.readouterr().err.splitlines()
        assert again.startswith("cudawheel: src/a.cpp ran out of memory on one thread")
        assert "once more alone" in again
        assert "nothing else running" in end

    @pytest.mark.usefixtures("tools")
    def test_within_a_surrounding_build_its_jobserver_is_the_one(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDAWHEEL_CUDA_HOME", str(project))
        with cuda_environment(read_policy(None)):
            assert "jobserver" not in {thread.name for thread in threading.enumerate()}
