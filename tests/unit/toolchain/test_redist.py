from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_server import Site, serving

from cudawheel import process
from cudawheel.errors import SourceHashError, SourceUnsafeError, ToolchainError
from cudawheel.model.progress import Silent
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain import redist
from cudawheel.toolchain.redist import RedistSettings
from cudawheel.toolchain.toolchain import Toolchain

CUDA = CudaVersion(12, 8)
COMPONENTS: tuple[str, ...] = tuple(redist._data()["components"])
MANIFEST = "redistrib_12.8.1.json"
MakeTree = Callable[..., Path]


def archive_of(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return sink.getvalue()


class Mirror:
    """A server of fabricated archives: nvcc and its kin in cuda_nvcc, the rest where NVIDIA has it."""

    def __init__(self, site: Site, tree: Path) -> None:
        self.site = site
        self.manifest: dict[str, Any] = {"release_label": "12.8.1"}
        for component in COMPONENTS:
            self.put(component, {"LICENSE": b"terms"}, {})
        files = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        runtime = {name: content for name, content in files.items() if "cudart" in name or "cuda_runtime" in name}
        self.put("cuda_nvcc", {name: files[name] for name in files.keys() - runtime.keys()}, {})
        self.put("cuda_cudart", runtime, {"lib/libcudart.so": "libcudart.so.13"})

    def put(self, component: str, files: dict[str, bytes], links: dict[str, str], *, top: str = "top/") -> None:
        content = archive_of(
            {f"{top}{name}": data for name, data in files.items()}, {f"{top}{name}": to for name, to in links.items()}
        )
        path = f"{component}/linux-x86_64/{component}-archive.tar.xz"
        self.site.files[path] = content
        entry = {"relative_path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": str(len(content))}
        self.manifest[component] = {"version": "12.8.93", "linux-x86_64": entry}
        self.site.files[MANIFEST] = json.dumps(self.manifest).encode()


@pytest.fixture
def mirror(tmp_path: Path, new_tree: MakeTree) -> Iterator[Mirror]:
    with serving(Site()) as site:
        yield Mirror(site, new_tree(tmp_path / "tree", "12.8"))


def provide(mirror: Mirror, folder: Path, machine: str = "x86_64") -> Toolchain:
    settings = RedistSettings(base_url=mirror.site.url.rstrip("/"), timeout=2)
    return redist.provide(CUDA, machine=machine, folder=folder, settings=settings, progress=Silent())


def test_archives_add_up_to_a_toolkit(mirror: Mirror, tmp_path: Path) -> None:
    toolchain = provide(mirror, tmp_path / "kits")

    home = tmp_path / "kits" / "cuda-12.8.1-linux-x86_64"
    assert (toolchain.kind, toolchain.home, toolchain.version) == ("redist", home, CUDA)
    assert (home / "lib64" / "libcudart.so").resolve() == home / "lib" / "libcudart.so.13"
    assert process.capture([toolchain.nvcc, "--version"]).ok
    visible = [path.name for path in (tmp_path / "kits").iterdir() if not path.name.startswith(".")]
    assert visible == [home.name]


def test_the_second_time_nothing_is_fetched(mirror: Mirror, tmp_path: Path) -> None:
    provide(mirror, tmp_path / "kits")
    mirror.site.requests.clear()

    assert provide(mirror, tmp_path / "kits").release == "12.8.88"

    assert mirror.site.requests == []


def test_a_toolkit_knows_the_archives_that_it_came_from(mirror: Mirror, tmp_path: Path) -> None:
    promised = {
        f"{component}-archive.tar.xz": mirror.manifest[component]["linux-x86_64"]["sha256"] for component in COMPONENTS
    }
    assert dict(provide(mirror, tmp_path / "kits").components) == promised
    assert dict(provide(mirror, tmp_path / "kits").components) == promised, "the second time as well"


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_toolkit_that_an_older_cudawheel_unpacked_still_serves(
    content: str | None, mirror: Mirror, tmp_path: Path
) -> None:
    record = provide(mirror, tmp_path / "kits").home / ".components.json"
    record.unlink()
    if content is not None:
        record.write_text(content)
    assert provide(mirror, tmp_path / "kits").components == ()


def test_archives_that_arrived_before_an_error_are_kept_for_the_next_run(mirror: Mirror, tmp_path: Path) -> None:
    missing = f"{COMPONENTS[-1]}/linux-x86_64/{COMPONENTS[-1]}-archive.tar.xz"
    content = mirror.site.files.pop(missing)
    with pytest.raises(ToolchainError, match="404"):
        provide(mirror, tmp_path / "kits")
    mirror.site.files[missing] = content
    mirror.site.requests.clear()

    provide(mirror, tmp_path / "kits")

    assert [path for path, _ in mirror.site.requests] == [MANIFEST, missing]


def test_the_listener_hears_of_each_component(mirror: Mirror, tmp_path: Path) -> None:
    class Listener(Silent):
        phases: list[str] = []  # noqa: RUF012 - one listener, one test

        def phase(self, name: str, detail: str = "") -> None:
            self.phases.append(f"{name} {detail}")

    settings = RedistSettings(base_url=mirror.site.url)
    redist.provide(CUDA, machine="x86_64", folder=tmp_path, settings=settings, progress=Listener())

    assert Listener.phases[: len(COMPONENTS)] == [f"toolkit {component}" for component in COMPONENTS]


def test_an_archive_with_the_wrong_hash_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.site.files["libcublas/linux-x86_64/libcublas-archive.tar.xz"] += b"!"
    with pytest.raises(SourceHashError):
        provide(mirror, tmp_path / "kits")
    assert not (tmp_path / "kits" / "cuda-12.8.1-linux-x86_64").exists()


@pytest.mark.parametrize(
    ("files", "links", "top"),
    [
        ({"evil": b""}, {}, "../"),
        ({"evil": b""}, {}, "/tmp/"),  # noqa: S108 - a name in an archive
        ({}, {"evil": "/etc"}, "top/"),
        ({}, {"evil": "../../evil"}, "top/"),
        ({}, {"evil": "../beside"}, "top/"),
    ],
)
def test_an_archive_that_reaches_outside_is_refused(
    mirror: Mirror, tmp_path: Path, files: dict[str, bytes], links: dict[str, str], top: str
) -> None:
    mirror.put("libcufft", files, links, top=top)
    with pytest.raises(SourceUnsafeError):
        provide(mirror, tmp_path / "kits")
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_without_a_top_folder_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.put("libcufft", {"a": b"", "b": b""}, {}, top="")
    with pytest.raises(ToolchainError, match="no single top folder"):
        provide(mirror, tmp_path / "kits")


def test_archives_that_do_not_add_up_are_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.put("cuda_cudart", {"LICENSE": b""}, {})
    with pytest.raises(ToolchainError, match="do not add up") as caught:
        provide(mirror, tmp_path / "kits")
    assert "cudart (include/cuda_runtime.h)" in caught.value.why


def test_another_release_inside_is_refused(mirror: Mirror, tmp_path: Path, new_tree: MakeTree) -> None:
    Mirror(mirror.site, new_tree(tmp_path / "another", "12.9"))
    with pytest.raises(ToolchainError, match=r"holds nvcc 12\.9, and the plan says CUDA 12\.8"):
        provide(mirror, tmp_path / "kits")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"<html>", "Expecting value"),
        (b"[]", "indices"),
        (b"{}", "lacks 'cuda_nvcc'"),
        (b'{"cuda_nvcc": {"linux-sbsa": {}}}', "lacks 'linux-x86_64'"),
        (b'{"cuda_nvcc": {"linux-x86_64": {"relative_path": "../x", "sha256": ""}}}', "leaves the manifest's folder"),
        (b'{"cuda_nvcc": {"linux-x86_64": {"relative_path": "http://x/y", "sha256": ""}}}', "leaves"),
        (b'{"cuda_nvcc": {"linux-x86_64": {"relative_path": "x", "sha256": 7}}}', "lower"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(mirror: Mirror, tmp_path: Path, manifest: bytes, reason: str) -> None:
    mirror.site.files[MANIFEST] = manifest
    with pytest.raises(ToolchainError, match=reason) as caught:
        provide(mirror, tmp_path / "kits")
    assert MANIFEST in caught.value.what


def test_a_server_that_is_gone_is_a_toolchain_error(mirror: Mirror, tmp_path: Path) -> None:
    mirror.site.files.clear()
    with pytest.raises(ToolchainError, match=r"manifest for CUDA 12\.8\.1 cannot be fetched") as caught:
        provide(mirror, tmp_path / "kits")
    assert "--toolchain system" in caught.value.remedy


def test_a_release_that_is_not_known_has_to_be_named(mirror: Mirror, tmp_path: Path) -> None:
    settings = RedistSettings(base_url=mirror.site.url)
    with pytest.raises(ToolchainError, match=r"known for CUDA 11\.8") as caught:
        redist.provide(CudaVersion(11, 8), machine="x86_64", folder=tmp_path, settings=settings, progress=Silent())
    assert caught.value.why == "known: 12.8, 12.9"


def test_a_processor_that_nvidia_has_nothing_for_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="no archives for riscv64"):
        provide(mirror, tmp_path / "kits", machine="riscv64")


def test_without_settings_nvidias_own_server_is_meant() -> None:
    assert redist._data()["base_url"] == "https://developer.download.nvidia.com/compute/cuda/redist/"
