"""The wheel of cudawheel itself, out of the running installation."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from uv import find_uv_bin

import cudawheel
from cudawheel.builder import own_wheel as module
from cudawheel.builder.own_wheel import own_wheel
from cudawheel.wheel.reading import Wheel


def test_it_is_the_same_each_time_and_written_once(tmp_path: Path) -> None:
    one = own_wheel(tmp_path / "one")
    module._whole.cache_clear()  # as another process would begin
    two = own_wheel(tmp_path / "two")
    assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()
    written = one.stat().st_mtime_ns
    assert own_wheel(tmp_path / "one") == one
    assert one.stat().st_mtime_ns == written


def test_it_holds_all_of_the_package_and_none_of_its_leftovers(tmp_path: Path) -> None:
    package = Path(cudawheel.__file__).parent
    with zipfile.ZipFile(own_wheel(tmp_path)) as wheel:
        names = set(wheel.namelist())
    assert {f"cudawheel/{path.relative_to(package)}" for path in package.rglob("*.py")} <= names
    assert "cudawheel/data/patterns/toolchain.toml" in names
    assert not [name for name in names if "__pycache__" in name]


def test_it_reads_as_a_wheel_whose_record_is_right(tmp_path: Path) -> None:
    path = own_wheel(tmp_path)
    wheel = Wheel.read(path)
    assert path.name == f"cudawheel-{distribution('cudawheel').version}-py3-none-any.whl"
    assert wheel.verify_record() == ()


def test_its_metadata_says_what_the_installation_says(tmp_path: Path) -> None:
    path = own_wheel(tmp_path)
    with zipfile.ZipFile(path) as wheel:
        text = wheel.read(f"cudawheel-{distribution('cudawheel').version}.dist-info/METADATA")
    metadata = Metadata.from_email(text)  # refuses unknown fields and doubled ones
    assert metadata.name == "cudawheel"
    assert metadata.requires_dist is not None
    assert metadata.requires_dist == [Requirement(text) for text in distribution("cudawheel").requires or ()]
    assert (metadata.description or "").startswith("# cudawheel")


def test_it_installs_and_runs_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    install = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--offline", "--no-config"]
    install += ["--python", sys.executable, "--target", str(target), str(own_wheel(tmp_path / "own"))]
    subprocess.run(install, check=True, timeout=60)
    program = f"import sys; sys.path.insert(0, {str(target)!r}); import cudawheel.errors; print(cudawheel.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert Path(done.stdout.strip()).is_relative_to(target)
    assert (target / "bin" / "cudawheel").is_file()
