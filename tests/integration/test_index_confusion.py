"""Dependency confusion, tried: another index offers a higher version of a name of ours, and never wins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from index_server import Installer, Server, serving
from index_wheels import make_wheel

pytestmark = pytest.mark.integration

if sys.version_info < (3, 11):
    pytest.skip("an upstream index needs simple-repository, which needs Python 3.11", allow_module_level=True)


class Indexes:
    """Ours in front of theirs; `theirs` is None once it is down."""

    def __init__(self, ours: Server, theirs: Server, folder: Path) -> None:
        self.ours, self.theirs, self.folder = ours, theirs, folder

    def status(self, name: str) -> int:
        return requests.get(f"{self.ours.index}{name}/", timeout=20).status_code


@pytest.fixture
def indexes(tmp_path: Path) -> Iterator[Indexes]:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    make_wheel(theirs, "torchmcubes", "99.0+cu.13.0")
    make_wheel(theirs, "Torch.MCubes", "98.0", file_name="Torch.MCubes-98.0-py3-none-any.whl")
    make_wheel(theirs, "our-kernels", "99.0")
    make_wheel(theirs, "Our_Kernels", "98.0", file_name="Our_Kernels-98.0-py3-none-any.whl")
    make_wheel(theirs, "helper", "3.0", requires=["torchmcubes"])
    make_wheel(ours, "torchmcubes", "0.1+cu.13.0")
    make_wheel(ours, "our-kernels", "0.1")
    with (
        serving(theirs, tmp_path / "their-log") as upstream,
        serving(ours, tmp_path / "our-log", "--upstream", upstream.index, "--own", "reserved") as server,
    ):
        yield Indexes(server, upstream, tmp_path)


@pytest.mark.parametrize("name", ["pip", "uv"])
@pytest.mark.parametrize("spelling", ["our-kernels", "Our_Kernels", "our.kernels", "OUR-KERNELS"])
def test_a_higher_version_outside_never_wins(name: str, spelling: str, indexes: Indexes) -> None:
    installer = Installer(name, indexes.folder / "environment")
    # What comes from outside may ask for ours, too.
    done = installer.install(indexes.ours.index, spelling, "helper")
    assert done.returncode == 0, done.stderr
    assert installer.installed() == {"our_kernels": "0.1", "helper": "3.0", "torchmcubes": "0.1+cu.13.0"}
    assert {path for path in indexes.theirs.requests() if path.startswith("/simple/")} == {"/simple/helper/"}


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_nor_when_it_is_asked_for(name: str, indexes: Indexes) -> None:
    installer = Installer(name, indexes.folder / "environment")
    for requirement in ("our-kernels==99.0", "our-kernels>1", "reserved"):
        assert installer.install(indexes.ours.index, requirement).returncode != 0
    assert installer.installed() == {}
    assert indexes.theirs.requests() == []


def test_what_only_they_have_is_passed_on_in_both_representations(indexes: Indexes) -> None:
    for accept in ("text/html", "application/vnd.pypi.simple.v1+json"):
        page = requests.get(f"{indexes.ours.index}helper/", headers={"Accept": accept}, timeout=20)
        assert page.headers["Content-Type"].startswith(accept)
        assert f"{indexes.theirs.url}wheels/" in page.text
        assert "core-metadata" in page.text
    assert indexes.status("nobody-has-this") == 404


def test_upstream_that_answers_nonsense(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make_wheel(ours, "our-kernels")
    make_wheel(theirs, "helper")
    (tmp_path / "tokens").write_text("a-token-nobody-was-told\n")
    with serving(theirs, tmp_path / "their-log", "--token-file", tmp_path / "tokens") as upstream:
        url = upstream.index
        with serving(ours, tmp_path / "log", "--upstream", url) as server:
            assert requests.get(f"{server.index}helper/", timeout=20).status_code == 502
            assert requests.get(f"{server.index}our-kernels/", timeout=20).status_code == 200
    with serving(ours, tmp_path / "log", "--upstream", url) as server:  # which is down now
        assert requests.get(f"{server.index}helper/", timeout=20).status_code == 502
        assert requests.get(f"{server.index}our-kernels/", timeout=20).status_code == 200
        assert "upstream: Connect" in server.log.read_text()
