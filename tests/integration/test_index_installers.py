"""Real pip and real uv, in clean environments, install by name out of a served and out of an exported index.

The wheels are synthetic: a torchmcubes for two torch versions and two Pythons, and a `torch` of a few bytes.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from index_server import Installer, Server, clean, serving, static, wait_for
from index_wheels import TOKEN, make_wheel
from uv import find_uv_bin

from cudawheel.index.export import export
from cudawheel.index.scan import Scanner
from cudawheel.store.store import StoredWheel, publish

pytestmark = pytest.mark.integration

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
OTHER = f"cp{sys.version_info.major}{sys.version_info.minor + 1}"
PLATFORM = f"linux_{platform.machine()}"
INSTALLERS = ["pip", "uv"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheelhouse")
    for cuda in ("12.8", "13.0"):
        for torch in ("2.9", "2.11"):
            for python in (HERE, OTHER):
                make_wheel(
                    folder,
                    "torchmcubes",
                    f"0.1.0+cu.{cuda}.torch.{torch}",
                    tag=f"{python}-{python}-{PLATFORM}",
                    requires=[f"torch==2.{torch.split('.')[1]}.*"],
                )
    for torch in ("2.8.0", "2.9.1", "2.10.0", "2.11.0"):
        make_wheel(folder, "torch", torch)
    return folder


@pytest.fixture(scope="module")
def site(house: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "index"
    export(Scanner(house).scan().index, folder, wheelhouse=house)
    return folder


@contextmanager
def source(kind: str, house: Path, site: Path, log: Path) -> Iterator[Server]:
    with serving(house, log) if kind == "serve" else static(site, log) as server:
        yield server


@pytest.mark.parametrize("kind", ["serve", "static"])
@pytest.mark.parametrize("name", INSTALLERS)
@pytest.mark.parametrize(("asked", "torch", "built_for"), [("==2.9.*", "2.9.1", "2.9"), (">=2.8", "2.11.0", "2.11")])
def test_the_right_wheel_is_chosen_without_fetching_the_others(  # noqa: PLR0917
    kind: str, name: str, asked: str, torch: str, built_for: str, house: Path, site: Path, tmp_path: Path
) -> None:
    installer = Installer(name, tmp_path / "environment")
    with source(kind, house, site, tmp_path / "log") as server:
        done = installer.install(server.index, "torchmcubes", f"torch{asked}")
        assert done.returncode == 0, done.stderr
        paths = [path.replace("%2B", "+").rpartition("/")[2] for path in server.requests()]
    right = f"torchmcubes-0.1.0+cu.13.0.torch.{built_for}-{HERE}-{HERE}-{PLATFORM}.whl"
    assert installer.installed() == {"torchmcubes": right.split("-")[1], "torch": torch}
    assert {path for path in paths if path.endswith(".whl")} == {right, f"torch-{torch}-py3-none-any.whl"}
    assert f"{right}.metadata" in paths
    assert not [path for path in paths if OTHER in path]


@pytest.mark.parametrize("kind", ["serve", "static"])
@pytest.mark.parametrize("name", INSTALLERS)
def test_a_channel_is_an_index_of_its_own(kind: str, name: str, house: Path, site: Path, tmp_path: Path) -> None:
    installer = Installer(name, tmp_path / "environment")
    with source(kind, house, site, tmp_path / "log") as server:
        done = installer.install(f"{server.index}cu128/", "--no-deps", "torchmcubes")
        assert done.returncode == 0, done.stderr
    assert installer.installed() == {"torchmcubes": "0.1.0+cu.12.8.torch.2.11"}


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_yanked_wheel_is_passed_over(name: str, tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    make_wheel(house, "torchmcubes", "1.0")
    newest = make_wheel(house, "torchmcubes", "2.0")
    newest.with_name(f"{newest.name}.yanked").write_text("wrong numbers\n")
    installer = Installer(name, tmp_path / "environment")
    with serving(house, tmp_path / "log") as server:
        assert installer.install(server.index, "torchmcubes").returncode == 0
        assert installer.installed() == {"torchmcubes": "1.0"}
        done = installer.install(server.index, "torchmcubes==2.0")
        assert done.returncode == 0
        assert "wrong numbers" in done.stdout + done.stderr
    assert installer.installed() == {"torchmcubes": "2.0"}


@pytest.mark.parametrize("name", INSTALLERS)
def test_a_token_lets_in(name: str, house: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    installer = Installer(name, tmp_path / "environment")
    with serving(house, tmp_path / "log", "--token-file", tmp_path / "tokens") as server:
        for wrong in ("", "__token__:wrong@", f"somebody:{TOKEN}@"):
            done = installer.install(server.index.replace("//", f"//{wrong}", 1), "torchmcubes")
            assert done.returncode != 0
        assert installer.installed() == {}
        done = installer.install(server.index.replace("//", f"//__token__:{TOKEN}@", 1), "torchmcubes")
        assert done.returncode == 0, done.stderr
    assert installer.installed()["torchmcubes"] == "0.1.0+cu.13.0.torch.2.11"
    assert TOKEN not in (tmp_path / "log").read_text()


def test_wheels_that_are_published_while_serving(tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    house.mkdir()
    wheel = make_wheel(tmp_path, "torchmcubes", "1.0+cu.13.0")

    with serving(house, tmp_path / "log") as server:

        def status(path: str) -> int:
            return requests.get(f"{server.index}{path}", timeout=10).status_code

        assert status("torchmcubes/") == 404
        (house / wheel.name).write_bytes(wheel.read_bytes()[:99])
        wait_for(lambda: "not offered: torchmcubes-1.0+cu.13.0" in server.log.read_text())
        assert status("torchmcubes/") == 404
        digest = Scanner(tmp_path).scan().index.channels["cu130"].projects["torchmcubes"].files[0].sha256
        publish(StoredWheel(wheel=wheel, record={"wheel": {"sha256": digest}}), house)
        wait_for(lambda: status("torchmcubes/") == 200)
        assert status("cu130/torchmcubes/") == 200
        house.rename(house.with_name("away"))
        wait_for(lambda: "the last state is kept" in server.log.read_text())
        assert status("torchmcubes/") == 200


def test_urls_that_try_to_leave(house: Path, tmp_path: Path) -> None:
    (house.parent / "secret").write_text("secret")
    with serving(house, tmp_path / "log") as server:
        for path in (
            "../secret",
            "%2e%2e/secret",
            "..%2fsecret",
            "wheels/%2e%2e/%2e%2e/secret",
            "simple/%2e%2e/%2e%2e/secret",
        ):
            request = requests.Request("GET", server.url).prepare()
            request.url = f"{server.url}{path}"  # as it stands, not in its shortest form
            with requests.Session() as session:
                answer = session.send(request, timeout=10)
            assert answer.status_code == 404
            assert "secret" not in answer.text


def documented(which: str, server: Server) -> str:
    """Give the lines of docs/index.md behind a mark, for a server that runs."""
    text = Path(__file__).parents[2].joinpath("docs", "index.md").read_text(encoding="utf-8")
    block = text.split(f"<!-- tested: {which} -->\n```")[1].split("```")[0].partition("\n")[2]
    assert "http://127.0.0.1:8080/simple/" in block
    return block.replace("http://127.0.0.1:8080/simple/", server.index)


@pytest.fixture
def everything(house: Path, tmp_path: Path) -> Iterator[Server]:
    """An index that others stand behind, among them one with a higher version of ours."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    ours.mkdir()
    for wheel in house.glob("torchmcubes-*.whl"):
        (ours / wheel.name).hardlink_to(wheel)
    theirs.mkdir()
    for wheel in house.glob("torch-*.whl"):
        (theirs / wheel.name).hardlink_to(wheel)
    make_wheel(theirs, "torchmcubes", "99.0")
    with (
        serving(theirs, tmp_path / "their-log") as upstream,
        serving(ours, tmp_path / "log", "--upstream", upstream.index) as server,
    ):
        yield server


EXPECTED = {"torchmcubes": "0.1.0+cu.13.0.torch.2.11", "torch": "2.11.0"}
needs_upstream = pytest.mark.skipif(sys.version_info < (3, 11), reason="simple-repository needs Python 3.11")


@needs_upstream
def test_the_documented_lines_for_pip(everything: Server, tmp_path: Path) -> None:
    installer = Installer("pip", tmp_path / "environment")
    _pip, _install, _option, index, *wanted = documented("pip", everything).split()
    assert installer.install(index, *wanted).returncode == 0
    assert installer.installed() == EXPECTED


@needs_upstream
@pytest.mark.parametrize("name", INSTALLERS)
def test_the_documented_requirements_file(name: str, everything: Server, tmp_path: Path) -> None:
    installer = Installer(name, tmp_path / "environment")
    (tmp_path / "requirements.txt").write_text(documented("requirements", everything))
    done = installer.install("", "-r", str(tmp_path / "requirements.txt"))
    assert done.returncode == 0, done.stderr
    assert installer.installed() == EXPECTED


def test_the_documented_lines_for_uv(house: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    make_wheel(theirs, "torchmcubes", "99.0")
    for wheel in house.glob("torch-*.whl"):
        (theirs / wheel.name).hardlink_to(wheel)
    project = tmp_path / "project"
    project.mkdir()
    with serving(house, tmp_path / "log") as ours, serving(theirs, tmp_path / "their-log") as other:
        lines = f'[project]\nname = "user"\nversion = "1"\nrequires-python = "=={HERE[2]}.{HERE[3:]}.*"\n'
        lines += 'dependencies = ["torchmcubes", "torch"]\n\n'
        (project / "pyproject.toml").write_text(lines + documented("uv", ours))
        command = [find_uv_bin(), "sync", "--no-cache", "--python", sys.executable, "--default-index", other.index]
        done = subprocess.run(
            command, cwd=project, env=clean(), check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert not [path for path in ours.requests() if path.endswith("/torch/")]
        assert not [path for path in other.requests() if "torchmcubes" in path]
    assert Installer("uv", project / ".venv").installed() == EXPECTED
