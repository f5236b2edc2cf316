"""Archives of all kinds, honest and not: whatever they hold, nothing is written outside of the folder."""

from __future__ import annotations

import errno
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cudawheel.errors import SourceUnsafeError
from cudawheel.unpacking import unpack

Member = tuple[str, str, str]
"""Kind (file, dir, symlink, hardlink, device, fifo), name, and content or link target."""

KINDS = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}
HONEST: Sequence[Member] = (
    ("dir", "pkg", ""),
    ("file", "pkg/setup.py", "print()"),
    ("file", "pkg/src/a.cu", "__global__ void k() {}"),
    ("symlink", "pkg/link.cu", "src/a.cu"),
    ("symlink", "pkg/src/up.py", "../setup.py"),
    ("symlink", "pkg/lib64", "src"),
    ("symlink", "pkg/through.cu", "lib64/a.cu"),
    ("hardlink", "pkg/same.cu", "pkg/src/a.cu"),
    ("file", "pkg/..hidden", "dots are no climbing"),
    ("symlink", "pkg/dots", "..hidden"),
)


def write_tar(path: Path, members: Sequence[Member], mode: str = "w", permissions: int = 0o644) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload] # any mode
        for kind, name, text in members:
            info = tarfile.TarInfo(name)
            info.type = KINDS[kind]
            info.mode = permissions
            content = text.encode() if kind == "file" else b""
            info.size = len(content)
            info.linkname = text if kind.endswith("link") else ""
            tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, members: Sequence[Member], permissions: int = 0o644) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for kind, name, text in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename = f"{name}/" if kind == "dir" else name  # behind the back of ZipInfo, which tidies names up
            form = {"symlink": stat.S_IFLNK, "dir": stat.S_IFDIR}.get(kind, stat.S_IFREG)
            info.external_attr = (form | permissions) << 16
            bundle.writestr(info, text)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_honest_tar_comes_out_whole(mode: str, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "into"
    unpack(write_tar(tmp_path / "pkg.tar", HONEST, mode), into)
    assert contents(into) == {
        "pkg/setup.py": b"print()",
        "pkg/src/a.cu": b"__global__ void k() {}",
        "pkg/same.cu": b"__global__ void k() {}",
        "pkg/..hidden": b"dots are no climbing",
    }
    for link in ("link.cu", "through.cu"):
        assert (into / "pkg" / link).read_text(encoding="utf-8") == "__global__ void k() {}"
    assert (into / "pkg/src/up.py").read_text(encoding="utf-8") == "print()"


def test_an_honest_zip_comes_out_whole(tmp_path: Path) -> None:
    files = [member for member in HONEST if not member[0].endswith("link")]
    unpack(write_zip(tmp_path / "pkg.zip", files), tmp_path / "into")
    assert contents(tmp_path / "into") == {name: text.encode() for kind, name, text in files if kind == "file"}


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize(("stored", "written"), [(0o644, 0o644), (0o755, 0o755), (0o4777, 0o755), (0o600, 0o644)])
def test_only_the_executable_bit_is_kept(
    write: Callable[..., Path], stored: int, written: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", os.umask)  # the process's own mask holds for both
    unpack(write(tmp_path / "archive", [("file", "run.sh", "#!/bin/sh")], permissions=stored), tmp_path / "into")
    mode = (tmp_path / "into" / "run.sh").stat().st_mode
    assert bool(mode & stat.S_IXUSR) == bool(written & stat.S_IXUSR)
    assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)


BAD_NAMES = ["../evil", "/tmp/evil", "a/../../evil", "a/..", "..", "a\\..\\..\\evil", "C:\\evil"]  # noqa: S108 - never written
BAD_LINKS = [
    ("symlink", "pkg/evil", "/etc/passwd"),
    ("symlink", "pkg/evil", "../../outside"),
    ("symlink", "evil", ".."),
    ("symlink", "evil", "a/../../b"),
    ("hardlink", "pkg/evil", "../outside"),
    ("hardlink", "pkg/evil", "/etc/passwd"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_names_that_lead_outside_are_refused_before_anything_is_written(
    write: Callable[..., Path], name: str, tmp_path: Path
) -> None:
    archive = write(tmp_path / "evil-1.0", [("file", "good", "good"), ("file", name, "evil")])
    with pytest.raises(SourceUnsafeError, match=r"evil-1\.0 is not safe") as caught:
        unpack(archive, tmp_path / "into")
    assert repr(name) in caught.value.why
    assert contents(tmp_path / "into") == {}


@pytest.mark.parametrize("link", BAD_LINKS, ids=str)
def test_links_that_lead_outside_are_refused_before_anything_is_written(link: Member, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "evil.tar", [("file", "good", "good"), link])
    with pytest.raises(SourceUnsafeError, match="not safe") as caught:
        unpack(archive, tmp_path / "into")
    assert "outside" in caught.value.why
    assert contents(tmp_path / "into") == {}


@pytest.mark.parametrize(
    "members",
    [
        # Each text alone stays inside; followed one after the other they do not.
        [("dir", "a/b", ""), ("symlink", "a/b/s", "../.."), ("symlink", "a/b/evil", "s/../..")],
        [("dir", "a/b", ""), ("symlink", "a/b/s", "../.."), ("symlink", "a/b/s/evil", "../../..")],
        [("dir", "a/b", ""), ("symlink", "a/b/s", "../.."), ("hardlink", "evil", "a/b/s")],
    ],
    ids=["back from a link", "in a linked folder", "hard link to a link"],
)
def test_links_through_links_are_refused_before_anything_is_written(members: list[Member], tmp_path: Path) -> None:
    with pytest.raises(SourceUnsafeError, match="not safe"):
        unpack(write_tar(tmp_path / "evil.tar", members), tmp_path / "into")
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("kind", ["device", "fifo"])
def test_devices_and_pipes_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SourceUnsafeError, match="device or a pipe"):
        unpack(write_tar(tmp_path / "evil.tar", [(kind, "evil", "")]), tmp_path / "into")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnsafeError, match="is a link"):
        unpack(write_zip(tmp_path / "evil.zip", [("symlink", "evil", "/etc/passwd")]), tmp_path / "into")


@pytest.mark.parametrize("write", [write_tar, write_zip])
@pytest.mark.parametrize(
    "members",
    [
        [("file", "a", "1"), ("file", "a/b", "2")],
        [("dir", "a", ""), ("file", "a", "1"), ("file", "a/b", "2")],
        [("file", "n" * 300, "1")],
    ],
    ids=["below a file", "folder and file", "name too long"],
)
def test_members_in_each_others_way_are_a_damaged_archive(
    write: Callable[..., Path], members: list[Member], tmp_path: Path
) -> None:
    with pytest.raises(SourceUnsafeError, match="cannot be unpacked"):
        unpack(write(tmp_path / "odd", members), tmp_path / "into")


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"\x1f\x8b broken", b"PK\x03\x04 broken", b"BZh9 broken"]
)
def test_what_is_no_archive_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "page.tar.gz").write_bytes(content)
    with pytest.raises(SourceUnsafeError, match=r"page\.tar\.gz cannot be unpacked") as caught:
        unpack(tmp_path / "page.tar.gz", tmp_path / "into")
    assert caught.value.why


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "secret.zip", [("file", "a", "1")])
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the member's header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    archive.write_bytes(content)
    with pytest.raises(SourceUnsafeError, match="encrypted"):
        unpack(archive, tmp_path / "into")


def test_a_full_disk_is_not_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_keywords: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = write_tar(tmp_path / "pkg.tar", HONEST)
    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "into")


names = st.lists(st.sampled_from(["a", "b", "s", ".", "..", ""]), min_size=1, max_size=4).map("/".join)
members_strategy = st.lists(
    st.tuples(st.sampled_from(["file", "dir", "symlink", "hardlink"]), names, names), max_size=8
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


@FUZZ
@given(members=members_strategy)
@example(members=[("dir", "a/b", ""), ("symlink", "a/b/s", "../.."), ("symlink", "a/b/s/x", "../../../../file")])
@example(members=[("symlink", "s", "a"), ("symlink", "a", "s"), ("file", "s/b", "x")])
@example(members=[("symlink", "a", "b"), ("file", "a", "x"), ("hardlink", "s", "b")])
@example(members=[("symlink", "a", "b/a"), ("file", "a", "x")])
def test_unpacking_a_tar_never_leaves_its_folder(
    members: list[Member], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("tar")
    outside = home / "a"
    outside.mkdir()
    (outside / "b").write_text("not yours", encoding="utf-8")
    archive = write_tar(home / "archive.tar", members)
    into = home / "deep" / "into"
    try:
        unpack(archive, into)
    except SourceUnsafeError:
        pass
    else:
        assert all(path.resolve().is_relative_to(into) for path in into.rglob("*") if not is_loop(path))
    assert plain(home) - {f"deep/into/{name}" for name in plain(into)} == {
        "a",
        "a/b",
        "archive.tar",
        "deep",
        "deep/into",
    }
    assert (outside / "b").read_text(encoding="utf-8") == "not yours"
    assert (outside / "b").stat().st_nlink == 1


def is_loop(path: Path) -> bool:
    """Whether a link leads round in a circle, and so nowhere."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


@FUZZ
@given(members=st.lists(st.tuples(st.sampled_from(["file", "dir", "symlink"]), names, names), max_size=6))
def test_unpacking_a_zip_never_leaves_its_folder(
    members: list[Member], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_arguments, **_keywords: None)  # zipfile's, of names that come twice
        archive = write_zip(home / "archive.zip", members)
    into = home / "deep" / "into"
    with suppress(SourceUnsafeError):
        unpack(archive, into)
    assert plain(home) - {f"deep/into/{name}" for name in plain(into)} == {"archive.zip", "deep", "deep/into"}
    assert not any(path.is_symlink() for path in into.rglob("*"))


WRITERS: dict[str, Callable[[Path], Path]] = {
    "zip": lambda path: write_zip(path, [("file", "pkg/a.cu", "x" * 99), ("dir", "pkg/d", "")]),
    **{
        mode: lambda path, mode=mode: write_tar(path, HONEST, mode)  # type: ignore[misc]
        for mode in ("w", "w:gz", "w:bz2", "w:xz")
    },
}


@FUZZ
@given(
    kind=st.sampled_from(sorted(WRITERS)),
    where=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
    cut=st.booleans(),
)
def test_a_damaged_archive_is_refused_or_unpacked_and_never_crashes(
    kind: str, where: float, bits: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("damaged")
    archive = WRITERS[kind](home / "archive")
    content = bytearray(archive.read_bytes())
    place = int(where * len(content))
    content[place] ^= bits
    archive.write_bytes(content[:place] if cut else content)
    try:
        unpack(archive, home / "into")
    except SourceUnsafeError as error:
        assert error.why  # noqa: PT017 - either way is fine, but a refusal says why
    assert plain(home) - {f"into/{name}" for name in plain(home / "into")} == {"archive", "into"}


def test_an_archive_that_is_not_there_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "pkg.tar", tmp_path / "into")
