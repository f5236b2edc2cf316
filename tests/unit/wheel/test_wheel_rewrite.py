from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

import pytest
from packaging.version import Version
from uv import find_uv_bin
from wheel_files import FILES, INFO, METADATA, WHEEL, write_wheel

from cudawheel.errors import DiskFullError, StoreError, WheelError
from cudawheel.wheel.reading import Wheel
from cudawheel.wheel.rewrite import Changes, rewrite

CHANGES = Changes(
    local_version="cu.13.0.torch.2.11",
    requirements=("torch==2.11.*",),
    headers=(("Keywords", "CUDA"), ("Project-URL", "Recipe, recipes/demo.toml")),
    files={"cudawheel.json": b'{"source": "upstream"}\n'},
    platform="manylinux_2_28_x86_64",
)
NAME = "demo_ext-1.0+cu.13.0.torch.2.11-cp312-cp312-manylinux_2_28_x86_64.whl"
NEW_INFO = "demo_ext-1.0+cu.13.0.torch.2.11.dist-info"


@pytest.fixture
def rewritten(tmp_path: Path) -> Wheel:
    return Wheel.read(rewrite(write_wheel(tmp_path), tmp_path / "out", CHANGES))


def test_name_folders_metadata_and_record_all_change_together(rewritten: Wheel) -> None:
    assert rewritten.path.name == NAME
    assert rewritten.version == Version("1.0+cu.13.0.torch.2.11")
    assert rewritten.dist_info == NEW_INFO
    assert rewritten.metadata.get("Version") == ("1.0+cu.13.0.torch.2.11",)
    assert rewritten.tags == rewritten.declared_tags
    assert rewritten.verify_record() == ()
    names = {member.name for member in rewritten.members}
    assert "demo_ext-1.0+cu.13.0.torch.2.11.data/scripts/demo" in names
    assert f"{NEW_INFO}/licenses/LICENSE" in names
    assert f"{NEW_INFO}/cudawheel.json" in names
    assert not any(name.startswith((f"{INFO}/", "demo_ext-1.0.data/")) for name in names)


def test_requirements_on_torch_are_replaced_and_others_kept_in_place(rewritten: Wheel) -> None:
    assert rewritten.metadata.get("Requires-Dist") == ("numpy>=1.26", "torch==2.11.*", "torchvision")


def test_headers_are_added_and_the_body_is_untouched(rewritten: Wheel) -> None:
    assert rewritten.metadata.get("Keywords") == ("CUDA",)
    assert rewritten.metadata.get("Project-URL") == ("Recipe, recipes/demo.toml",)
    assert rewritten.metadata.body == METADATA.decode().partition("\n\n")[2]


def test_a_requirement_is_added_where_there_was_none(tmp_path: Path) -> None:
    files = {**FILES, f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo-ext\nVersion: 1.0\n"}
    path = rewrite(write_wheel(tmp_path, list(files.items())), tmp_path / "out", CHANGES)
    assert Wheel.read(path).metadata.get("Requires-Dist") == ("torch==2.11.*",)


def test_no_changes_keep_name_and_contents(tmp_path: Path) -> None:
    source = write_wheel(tmp_path)
    wheel = Wheel.read(rewrite(source, tmp_path / "out", Changes()))
    assert wheel.path.name == source.name
    assert wheel.metadata == Wheel.read(source).metadata
    for name, data in FILES.items():
        with wheel.open(name) as member:
            assert member.read() == data


def test_order_dates_modes_and_compression_of_the_input_do_not_matter(tmp_path: Path) -> None:
    outputs = set()
    for turn, mode in enumerate((0o600, 0o644, 0o664, 0o666)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        members = list(FILES.items())
        source = write_wheel(
            folder,
            members[turn:] + members[:turn],
            date=(1990 + turn, 1 + turn, 2, 3, 4, 6),
            mode=mode,
            compression=zipfile.ZIP_STORED if turn % 2 else zipfile.ZIP_DEFLATED,
        )
        outputs.add(rewrite(source, folder / "out", CHANGES).read_bytes())
    assert len(outputs) == 1


def test_members_are_sorted_dated_and_moded_one_way(rewritten: Wheel) -> None:
    with zipfile.ZipFile(rewritten.path) as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos]
    first = next(at for at, name in enumerate(names) if name.startswith(NEW_INFO))
    assert all(name.startswith(NEW_INFO) for name in names[first:])
    assert names[:first] == sorted(names[:first])
    assert names[-1] == f"{NEW_INFO}/RECORD"
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert modes.pop("demo_ext-1.0+cu.13.0.torch.2.11.data/scripts/demo") == stat.S_IFREG | 0o755
    assert set(modes.values()) == {stat.S_IFREG | 0o644}


def test_the_date_is_a_parameter(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 23, 7, 30, 2, tzinfo=timezone.utc)
    path = rewrite(write_wheel(tmp_path), tmp_path / "out", Changes(timestamp=moment))
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(2026, 11, 23, 7, 30, 2)}
    with pytest.raises(WheelError, match="cannot be dated 1970"):
        rewrite(write_wheel(tmp_path), tmp_path / "out", Changes(timestamp=datetime(1970, 1, 1, tzinfo=timezone.utc)))


def test_a_local_version_is_replaced_and_every_tag_can_change(tmp_path: Path) -> None:
    once = rewrite(write_wheel(tmp_path), tmp_path / "out", CHANGES)
    again = Changes(local_version="cu.13.0.torch.2.12", python="cp310.cp311", abi="abi3", platform="linux_x86_64")
    wheel = Wheel.read(rewrite(once, tmp_path / "out", again))
    assert wheel.path.name == "demo_ext-1.0+cu.13.0.torch.2.12-cp310.cp311-abi3-linux_x86_64.whl"
    assert wheel.wheel_file.get("Tag") == ("cp310-abi3-linux_x86_64", "cp311-abi3-linux_x86_64")
    assert wheel.verify_record() == ()


def test_build_tags_are_kept_and_signatures_dropped(tmp_path: Path) -> None:
    files = {**FILES, f"{INFO}/RECORD.jws": b"{}", f"{INFO}/WHEEL": WHEEL + b"Build: 7x\n"}
    source = write_wheel(tmp_path, list(files.items()), name="demo_ext-1.0-7x-cp312-cp312-linux_x86_64.whl")
    wheel = Wheel.read(rewrite(source, tmp_path / "out", Changes(local_version="cu.13.0")))
    assert wheel.path.name == "demo_ext-1.0+cu.13.0-7x-cp312-cp312-linux_x86_64.whl"
    assert not any(member.name.endswith(".jws") for member in wheel.members)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (Changes(local_version="cu 13"), "not a local version"),
        (Changes(requirements=("torch =>= 2",)), "not a requirement"),
        (Changes(headers=(("Keywords", "a\nInjected: b"),)), "line break"),
    ],
)
def test_changes_that_cannot_be_written_leave_nothing(tmp_path: Path, changes: Changes, says: str) -> None:
    with pytest.raises(WheelError, match=says):
        rewrite(write_wheel(tmp_path), tmp_path / "out", changes)
    assert not list(tmp_path.glob("out/*"))


def test_a_full_disk_leaves_nothing_and_keeps_the_wheel_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_wheel(tmp_path)
    out = tmp_path / "out"
    before = rewrite(source, out, CHANGES).read_bytes()

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(DiskFullError, match=r"no space is left for .*out"):
        rewrite(source, out, CHANGES)
    assert [path.name for path in out.iterdir()] == [NAME]
    assert (out / NAME).read_bytes() == before


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fchmod", interrupt)
    with pytest.raises(KeyboardInterrupt):
        rewrite(write_wheel(tmp_path), tmp_path / "out", CHANGES)
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="out cannot be written"):
        rewrite(write_wheel(tmp_path), tmp_path / "out", CHANGES)


def test_the_wheel_can_be_read_by_others(rewritten: Wheel) -> None:
    assert rewritten.path.stat().st_mode & 0o777 == 0o644


def test_uv_installs_the_result(tmp_path: Path) -> None:
    path = rewrite(write_wheel(tmp_path), tmp_path / "out", Changes(local_version="cu.13.0", python="py3", abi="none"))
    _install([find_uv_bin(), "pip", "install", "--offline", "--quiet"], path, tmp_path / "site")
    assert (tmp_path / "site" / "demo_ext-1.0+cu.13.0.dist-info").is_dir()


def test_pip_installs_the_result(tmp_path: Path) -> None:
    path = rewrite(write_wheel(tmp_path), tmp_path / "out", Changes(local_version="cu.13.0", python="py3", abi="none"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--quiet"]
    _install(pip, path, tmp_path / "site")
    assert (tmp_path / "site" / "demo_ext-1.0+cu.13.0.dist-info").is_dir()


def _install(command: list[str], wheel: Path, site: Path) -> None:
    done = subprocess.run(
        [*command, "--no-deps", "--target", str(site), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site / "demo_ext" / "__init__.py").read_bytes() == FILES["demo_ext/__init__.py"]
