"""The same index as static files."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from index_wheels import ask, make_wheel, sha256

from cudawheel.errors import DiskFullError, StoreError, UsageError
from cudawheel.index import export as export_module
from cudawheel.index.app import IndexApp
from cudawheel.index.export import MARKER, Exported, export
from cudawheel.index.live import LiveIndex
from cudawheel.index.scan import Scanner
from cudawheel.index.yanking import yank


class Site:
    """A wheelhouse with three wheels, and the folder it is exported into."""

    def __init__(self, folder: Path) -> None:
        self.house, self.folder = folder / "wheelhouse", folder / "site"
        self.wheel = make_wheel(self.house, version="1.0+cu.13.0")
        make_wheel(self.house, version="1.0+cu.12.8")
        make_wheel(self.house, "plain")

    def export(self) -> Exported:
        return export(Scanner(self.house).scan().index, self.folder, wheelhouse=self.house)

    def files(self) -> dict[str, bytes]:
        files = (path for top in ("simple", "wheels") for path in (self.folder / top).rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}

    def times(self) -> dict[str, tuple[int, int]]:
        return {
            path: ((self.folder / path).stat().st_ino, (self.folder / path).stat().st_mtime_ns) for path in self.files()
        }


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def place_of(wheel: Path) -> str:
    return f"wheels/{sha256(wheel)[:32]}/{wheel.name}"


def test_everything_that_is_served_is_exported_alike(site: Site) -> None:
    assert site.export() == Exported(wheels=3, added=3, pages=14, removed=0)
    live = LiveIndex(Scanner(site.house), lambda _finding: None)
    live.start()
    app, files = IndexApp(live), site.files()
    assert len(files) == 14 + 2 * 3
    for path, content in files.items():
        folder, _, name = path.rpartition("/")
        kinds = {"index.html": f"/{folder}/", "index.json": f"/{folder}/?format=application/vnd.pypi.simple.v1+json"}
        reply = ask(app, kinds.get(name, f"/{path}".replace("+", "%2B")))
        assert (reply.status, reply.body) == (200, content), path


def test_wheels_are_linked_and_not_copied(site: Site) -> None:
    site.export()
    assert (site.folder / place_of(site.wheel)).samefile(site.wheel)


def test_wheels_are_copied_to_another_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_words: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    site.export()
    copy = site.folder / place_of(site.wheel)
    assert not copy.samefile(site.wheel)
    assert copy.read_bytes() == site.wheel.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o644
    assert site.export() == Exported(wheels=3, added=0, pages=0, removed=0)


def test_only_what_changed_is_written(site: Site) -> None:
    site.export()
    before = site.times()
    assert site.export() == Exported(wheels=3, added=0, pages=0, removed=0)
    assert site.times() == before
    new = make_wheel(site.house, "plain", "2.0")
    assert site.export() == Exported(wheels=4, added=1, pages=2, removed=0)
    after = site.times()
    assert {path for path in after if after[path] != before.get(path)} == {
        "simple/plain/index.html",
        "simple/plain/index.json",
        place_of(new),
        f"{place_of(new)}.metadata",
    }


def test_a_replaced_wheel_leaves_the_old_bytes_where_they_were_until_the_pages_are_new(site: Site) -> None:
    site.export()
    old = place_of(site.wheel)
    make_wheel(site.house, version="1.0+cu.13.0", members={"demo_ext/new.py": "new"})
    assert site.export() == Exported(wheels=3, added=1, pages=4, removed=2)
    assert old not in site.files()
    assert place_of(site.wheel) in site.files()


def test_what_is_gone_goes(site: Site) -> None:
    site.export()
    site.wheel.unlink()
    assert site.export().removed == 2 + 4  # wheel and metadata; the channel's list and its one project
    assert not (site.folder / "simple" / "cu130").exists()
    assert (site.folder / "simple" / "cu128").exists()
    assert sorted(path.name for path in (site.folder / "wheels").iterdir()) == sorted(
        sha256(path)[:32] for path in site.house.glob("*.whl")
    )


def test_a_yank_changes_pages_only(site: Site) -> None:
    site.export()
    yank(site.wheel, "wrong <numbers>")
    assert site.export() == Exported(wheels=3, added=0, pages=4, removed=0)
    assert b'data-yanked="wrong &lt;numbers&gt;"' in site.files()["simple/cu130/demo-ext/index.html"]


def test_every_moment_is_a_whole_index(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look before each file that is put into place or taken away: every link of every page leads somewhere."""
    site.export()
    make_wheel(site.house, version="1.0+cu.13.0", members={"demo_ext/new.py": "new"})
    make_wheel(site.house, "newcomer", "3.0+cu.13.2")
    (site.house / "plain-1.0-py3-none-any.whl").unlink()
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        files = site.files()
        for path, page in files.items():
            if path.endswith("index.html"):
                for part in page.decode().split('href="')[1:]:
                    target = part.split('"')[0].partition("#")[0].replace("%2B", "+")
                    found = os.path.normpath(f"{path}/../{target}")
                    assert found in files or f"{found}/index.html" in files, (path, target)

    genuine_replace, genuine_unlink = Path.replace, Path.unlink

    def replace(self: Path, target: Path) -> Path:
        look()
        return genuine_replace(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        look()
        genuine_unlink(self, missing_ok)

    with monkeypatch.context() as watched:
        watched.setattr(Path, "replace", replace)
        watched.setattr(Path, "unlink", unlink)
        done = site.export()
    look()
    assert looks > done.added + done.pages + done.removed > 10


def test_an_export_that_breaks_off_is_finished_by_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.export()
    make_wheel(site.house, version="1.0+cu.13.0", members={"demo_ext/new.py": "new"})
    expected_pages = {path: page for path, page in site.files().items() if path.startswith("simple/")}
    with monkeypatch.context() as broken:
        broken.setattr(export_module, "write_together", lambda _files: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            site.export()
    left = site.folder / "wheels" / ".partial"
    left.write_text("left by a crash")
    assert {path: page for path, page in site.files().items() if path.startswith("simple/")} == expected_pages
    site.export()
    assert not left.exists()
    again = Site.__new__(Site)
    again.house, again.folder = site.house, site.folder.with_name("other")
    again.export()
    assert again.files() == site.files()


def test_a_full_disk_changes_no_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.export()
    before = site.files()
    make_wheel(site.house, "newcomer")
    calls = 0
    genuine = os.fdopen

    def fdopen(*words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:  # the first is the wheel's metadata, the second the first page
            os.close(words[0])
            raise OSError(errno.ENOSPC, "No space left on device")
        return genuine(*words)

    index = Scanner(site.house).scan().index
    monkeypatch.setattr(os, "fdopen", fdopen)
    with pytest.raises(DiskFullError):
        export(index, site.folder, wheelhouse=site.house)
    assert {path: content for path, content in site.files().items() if path in before} == before
    assert {path for path in site.files() if path.startswith("simple/")} == {
        path for path in before if path.startswith("simple/")
    }


def test_a_wheel_that_changes_meanwhile(site: Site) -> None:
    index = Scanner(site.house).scan().index
    site.wheel.write_bytes(site.wheel.read_bytes() + b"more")
    with pytest.raises(StoreError, match="changed while it was being exported"):
        export(index, site.folder, wheelhouse=site.house)
    assert not (site.folder / "simple").exists()
    site.wheel.unlink()
    with pytest.raises(StoreError, match="changed while it was being exported"):
        export(index, site.folder, wheelhouse=site.house)


@pytest.mark.parametrize("place", [".", "wheelhouse", "wheelhouse/site"])
def test_not_into_the_wheelhouse_nor_around_it(place: str, site: Site) -> None:
    site.folder = site.house.parent / place
    with pytest.raises(UsageError, match="lie in one another"):
        site.export()


def test_not_over_something_else(site: Site) -> None:
    site.folder.mkdir()
    (site.folder / "simple").write_text("mine")
    with pytest.raises(UsageError, match="is no exported index"):
        site.export()
    assert (site.folder / "simple").read_text() == "mine"


def test_files_beside_it_are_left_alone(site: Site) -> None:
    site.export()
    (site.folder / "robots.txt").write_text("mine")
    make_wheel(site.house, "newcomer")
    site.export()
    assert (site.folder / "robots.txt").read_text() == "mine"


def test_one_export_at_a_time(site: Site) -> None:
    site.export()
    with FileLock(site.folder / f"{MARKER}.lock"), pytest.raises(StoreError, match="another export"):
        site.export()


def test_a_file_in_the_way(site: Site) -> None:
    site.folder.write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        site.export()


def test_a_page_that_was_changed_by_hand_is_put_right(site: Site) -> None:
    site.export()
    page = site.folder / "simple" / "index.html"
    content = page.read_bytes()
    page.write_bytes(content.replace(b"demo-ext", b"evil-ext"))
    assert site.export().pages == 1
    assert page.read_bytes() == content


def test_what_was_lost_or_damaged_is_put_in_again(site: Site) -> None:
    site.export()
    whole = site.files()
    copy = site.folder / place_of(site.wheel)
    for path in (copy, copy.with_name(f"{copy.name}.metadata")):
        path.unlink()
        assert site.export().added == 1
        assert site.files() == whole
    copy.unlink()  # it is a link to the genuine one
    copy.write_bytes(b"short")
    assert site.export().added == 1
    assert site.files() == whole


def test_the_same_bytes_under_two_names(site: Site) -> None:
    other = site.wheel.with_name("demo_ext-1.0+cu.13.0-1-py3-none-any.whl")
    shutil.copyfile(site.wheel, other)
    assert site.export().added == 4
    assert {place_of(site.wheel), place_of(other), f"{place_of(other)}.metadata"} <= site.files().keys()
    assert site.export() == Exported(wheels=4, added=0, pages=0, removed=0)
