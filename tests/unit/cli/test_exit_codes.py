"""Every class of error met through the command line, as a script meets it: exit code, and what, why and remedy."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fake_tools import PLAIN_TAG, give, write_compiler, write_program, write_toolkit
from loopback_server import Site
from small_packages import PYTHON, path_source, tar_of, url_source, write_project, write_recipe

from cudawheel.audit import report
from cudawheel.builder.compiling import most_jobs
from cudawheel.cli.main import run
from cudawheel.factory import proof
from cudawheel.schedule.budget import slots_for
from cudawheel.schedule.limits import usable_cores

OTHER_PYTHON = "3.12" if PYTHON == "3.13" else "3.13"


@pytest.fixture(autouse=True)
def plain_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process without auditwheel, a process that each build starts twice."""
    monkeypatch.setattr(proof, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))


@pytest.fixture
def recipe(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe that builds here, with a toolkit and a compiler that only say what they are."""
    del links
    for name in [name for name in os.environ if name.startswith(("CUDA", "CXX", "CC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_HOME", str(write_toolkit(tmp_path / "cuda")))
    monkeypatch.setenv("CXX", str(write_compiler(tmp_path / "bin" / "g++")))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write_project(tmp_path / "recipes" / "here")
    return write_recipe(tmp_path / "recipes", path_source("here"))


def command(recipe: Path, *more: str | Path) -> list[str]:
    place = recipe.parent.parent
    words = ["build", recipe, "--toolchain", "system", "--cache", place / "cache", "--wheelhouse", place / "wheelhouse"]
    return [sys.executable, "-m", "cudawheel", *map(str, (*words, *more))]


def build(recipe: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(recipe, *more), capture_output=True, text=True, timeout=120, check=False)


def build_here(recipe: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, for what ends where another test has been already."""
    words = command(recipe, *more)[2:]
    out, err = io.StringIO(), io.StringIO()
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.object(sys, "argv", words),
        mock.patch("signal.signal"),
        pytest.raises(SystemExit) as ended,
    ):
        run()
    assert isinstance(ended.value.code, int)
    return subprocess.CompletedProcess(words, ended.value.code, out.getvalue(), err.getvalue())


def in_wheelhouse(recipe: Path) -> list[Path]:
    folder = recipe.parent.parent / "wheelhouse"
    return list(folder.iterdir()) if folder.is_dir() else []


def refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """An error: its code, nothing on standard output, and on standard error what, why and the remedy."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert f"exit {code})" in done.stderr
    assert "error: " in done.stderr
    assert "→ " in done.stderr
    for text in said:
        assert text in done.stderr


def reorder(recipe: Path, **orders: Any) -> Path:
    write_project(recipe.parent / "here", **orders)
    return recipe


def test_a_build_and_its_repetition(recipe: Path) -> None:
    first = build(recipe, "--json")
    record = json.loads(first.stdout)
    assert (first.returncode, record["cached"]) == (0, False)
    assert Path(record["path"]).is_file()
    assert record["toolchain"]["nvcc"] == "13.0.88"
    assert "compiling" in first.stderr
    second = build(recipe)
    assert (second.returncode, second.stderr) == (0, "")
    assert "tiny_ext-1.0+cu.13.0.torch.2.11" in second.stdout
    assert "built before, checked" in second.stdout


def test_a_recipe_that_is_not_there(recipe: Path) -> None:
    refused(build_here(recipe.with_name("gone.toml")), 3, "gone.toml", "No such file")


def test_a_recipe_with_faults_names_them_all(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("imports", "import").replace('version = "1.0"', "version = 1", 1))
    refused(build_here(recipe), 3, "wheel.import:", "wheel.imports:", "package.version:")


def test_a_capability_that_cuda_no_longer_compiles_for(recipe: Path) -> None:
    refused(build_here(recipe, "--capabilities", "7.0"), 4, "7.0", "12.9")


def test_a_capability_that_this_nvcc_does_not_know(recipe: Path, tmp_path: Path) -> None:
    nvcc = tmp_path / "cuda" / "bin" / "nvcc"
    write_program(nvcc, nvcc.read_text().replace("sm_90", "sm_91"))
    refused(build_here(recipe), 4, "nvcc 13.0.88 cannot compile for 9.0")


def test_a_misspelt_capability(recipe: Path) -> None:
    refused(build_here(recipe, "--capabilities", "sm_banana"), 4, "sm_banana")


def test_a_torch_that_is_not_known(recipe: Path) -> None:
    refused(build_here(recipe, "--torch", "1.0"), 5, "torch 1.0 is not known here")


def test_a_cuda_that_torch_is_not_built_with(recipe: Path) -> None:
    refused(build_here(recipe, "--cuda", "12.8"), 5, "is built with CUDA 13.0, not 12.8")


def test_a_source_that_the_recipe_does_not_have(recipe: Path) -> None:
    refused(build_here(recipe, "--source", "else"), 5, "no source labelled 'else'", "'here'")


def test_a_source_that_cannot_be_reached(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace('path = "here"', 'path = "gone"'))
    refused(build_here(recipe), 6, "no source of tiny-ext could be reached", "gone does not exist")


def test_a_source_with_another_hash(recipe: Path, site: Site) -> None:
    site.files["x.tar.gz"] = b"something else"
    write_recipe(recipe.parent, url_source(f"{site.url}x.tar.gz", b"pinned"), path_source("here", "bundled"))
    refused(build_here(recipe), 7, "x.tar.gz is not what the recipe pinned")


def test_a_source_that_climbs_out_of_its_folder(recipe: Path, site: Site) -> None:
    site.files["x.tar.gz"] = tar_of({"tiny/../../evil": b"x"})
    write_recipe(recipe.parent, url_source(f"{site.url}x.tar.gz", site.files["x.tar.gz"]))
    refused(build_here(recipe), 8, "x.tar.gz is not safe to unpack", "tiny/../../evil")
    assert not list(recipe.parent.parent.rglob("evil"))


def test_a_patch_that_does_not_apply(recipe: Path) -> None:
    (recipe.parent / "a.patch").write_text("--- a/x.cu\n+++ b/x.cu\n@@ -1 +1 @@\n-old\n+new\n")
    write_recipe(recipe.parent, path_source("here"), build='patches = ["a.patch"]')
    refused(build_here(recipe), 9, "a.patch does not apply", "x.cu")


def test_a_python_that_is_not_here(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    refused(build_here(recipe, "--python", OTHER_PYTHON), 10, f"no usable Python {OTHER_PYTHON}", "uv python install")


def test_a_toolkit_that_cannot_be_had(recipe: Path) -> None:
    refused(
        build_here(recipe, "--toolchain", "redist", "--redist-url", "http://127.0.0.1:9/"), 11, "13.0", "--toolchain"
    )


def test_a_machine_without_a_compiler(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    refused(build_here(recipe), 12, "CXX=/no/such/compiler", "Install")


def test_a_compiler_that_is_too_new(recipe: Path, tmp_path: Path) -> None:
    write_program(tmp_path / "bin" / "g++", (tmp_path / "bin" / "g++").read_text().replace("14", "99"))
    refused(build_here(recipe), 12, "99", "too new for CUDA 13.0")


def test_requirements_that_cannot_be_installed(recipe: Path) -> None:
    write_recipe(recipe.parent, path_source("here"), build='requires = ["no-such-package-anywhere"]')
    refused(build_here(recipe), 13, "no-such-package-anywhere")


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_fails(recipe: Path) -> None:
    refused(build(reorder(recipe, say=["nobody has met this"], fails=True)), 14, "nobody has met this", ".log")
    assert in_wheelhouse(recipe) == []


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_runs_out_of_memory(recipe: Path) -> None:
    killed = "c++: fatal error: Killed signal terminated program cc1plus"
    refused(build_here(reorder(recipe, say=[killed], fails=True)), 15, killed, "memory-per-job")


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_fills_the_disk(recipe: Path) -> None:
    full = "fatal error: error writing to a.s: No space left on device"
    refused(build_here(reorder(recipe, say=[full], fails=True)), 19, full, "--cache")


@pytest.mark.usefixtures("shared_environments")
def test_a_build_of_which_one_compiler_needs_more_memory_than_there_is(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("memory-per-job = 0.1", "memory-per-job = 512.0"))
    refused(build_here(recipe), 21, "needs 512.0 GiB", "too little memory", "--force", "memory-per-job")
    assert in_wheelhouse(recipe) == []
    assert build_here(recipe, "--force").returncode == 0


@pytest.mark.usefixtures("shared_environments")
def test_a_build_of_which_one_compiler_needs_more_memory_than_is_allowed(recipe: Path) -> None:
    refused(build_here(recipe, "--memory", "50M"), 21, "needs 0.1 GiB", "within --memory", "--force")
    assert in_wheelhouse(recipe) == []
    done = build_here(recipe, "--memory", "50M", "--force")
    assert (done.returncode, len(in_wheelhouse(recipe)) > 0) == (0, True)


@pytest.mark.parametrize("amount", ["0", "-1", "nonsense", "", "9" * 400])
def test_an_amount_of_memory_that_is_none(amount: str, recipe: Path) -> None:
    refused(build_here(recipe, "--memory", amount), 2, f"--memory {amount!r} is no amount of memory", "12G")


@pytest.mark.parametrize("jobs", ["0", "-1", "some", "1.5"])
def test_a_number_of_jobs_that_is_none(jobs: str, recipe: Path) -> None:
    done = build_here(recipe, "--jobs", jobs)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Invalid value for '--jobs'" in done.stderr
    assert jobs in done.stderr


@pytest.mark.parametrize(("jobs", "started"), [("1", most_jobs(1)), ("1000", most_jobs(slots_for(usable_cores())))])
@pytest.mark.usefixtures("shared_environments")
def test_more_jobs_than_cores_are_as_many_as_keep_the_cores_busy(jobs: str, started: int, recipe: Path) -> None:
    """More are started than may run, so that the jobserver can choose among them."""
    done = build_here(recipe, "--jobs", jobs, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["build"]["variables"]["MAX_JOBS"] == str(started)


@pytest.mark.usefixtures("shared_environments")
def test_of_all_variants_the_first_that_fails_gives_the_exit_code_and_the_others_are_built(recipe: Path) -> None:
    """Of torch there is but 2.11 here."""
    recipe.write_text(recipe.read_text().replace('["2.11"]', '["2.11", "2.12"]'))
    done = build_here(recipe, "--all", "--json")
    built, failed = json.loads(done.stdout)
    assert done.returncode == failed["error"]["exit_code"] == 13
    assert "torch2.12" in failed["identifier"]
    assert "torch" in failed["error"]["why"]
    assert Path(built["path"]).is_file()
    again = build_here(recipe, "--all")
    assert again.returncode == 13
    assert "from the store" in again.stdout
    assert "torch2.12" in again.stdout
    assert "exit 13)" in again.stderr
    assert build_here(recipe, "--all", "--torch", "2.11").returncode == 0


@pytest.mark.usefixtures("shared_environments")
def test_a_wheel_that_is_not_what_was_planned(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace('cuda = "optional"', 'cuda = "required"'))
    refused(build_here(recipe), 16, "is not what was planned")
    assert in_wheelhouse(recipe) == []


@pytest.mark.parametrize("wrong", ['version = "9.9"', 'name = "other-ext"'])
@pytest.mark.usefixtures("shared_environments")
def test_a_package_that_calls_itself_otherwise_than_its_recipe(wrong: str, recipe: Path) -> None:
    field = wrong.split(" ", maxsplit=1)[0]
    head, _, tail = recipe.read_text().partition(f"{field} = ")
    recipe.write_text(f"{head}{wrong}\n{tail.split(chr(10), 1)[1]}")
    refused(build_here(recipe), 16, "the package calls itself")
    assert in_wheelhouse(recipe) == []


def test_a_wheelhouse_that_cannot_be_written(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(build_here(recipe, "--wheelhouse", tmp_path / "file" / "sub"), 18, "cannot be written", "--wheelhouse")


@pytest.mark.parametrize("options", [["--colour"], ["--toolchain", "magic"], ["--torch"]])
def test_options_that_do_not_exist(options: list[str], recipe: Path) -> None:
    done = build_here(recipe, *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert options[0] in done.stderr


def test_a_version_that_cannot_be_read(recipe: Path) -> None:
    refused(build_here(recipe, "--torch", "newest"), 2, "newest")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("shared_environments")
def test_an_interrupted_build_ends_all_it_started(number: signal.Signals, recipe: Path, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    reorder(recipe, hold=str(hold))
    running = subprocess.Popen(command(recipe), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = Path(f"{hold}.pid")
    for _ in range(1500):
        if pid.exists() and pid.read_text():
            break
        time.sleep(0.02)
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    refused(subprocess.CompletedProcess([], running.returncode, out, err[err.index("error") :]), 130, "stopped")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert in_wheelhouse(recipe) == []
    hold.unlink()
    assert build_here(recipe).returncode == 0
