from __future__ import annotations

import hashlib
import pickle
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

from safetensors.torch import load_file, save_file
from torch import Tensor
from triposr_parity import TINY, tiny_network

from cudawheel.errors import CheckpointError, ExtraMissingError
from cudawheel.triposr import checkpoint
from cudawheel.triposr.checkpoint import find_checkpoint, load_network, read_weights, require_sha256
from cudawheel.triposr.network import TripoSR


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return load_file(TINY / "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's folder with no weights in it yet."""
    place = tmp_path / "checkpoint"
    place.mkdir()
    for name in ("config.yaml", "vit_config.json"):
        shutil.copyfile(TINY / name, place / name)
    return place


def load(folder: Path) -> TripoSR:
    return load_network(find_checkpoint(str(folder)))


def test_a_pickled_checkpoint_is_the_same_network(folder: Path, weights: dict[str, Tensor]) -> None:
    torch.save(weights, folder / "model.ckpt")
    ours = load(folder).state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[key], weights[key]) for key in weights)


def test_safetensors_come_before_a_pickle(folder: Path, weights: dict[str, Tensor]) -> None:
    (folder / "model.ckpt").write_bytes(b"not looked at")
    save_file(weights, folder / "model.safetensors")
    assert load(folder).state_dict().keys() == weights.keys()


def test_a_loaded_network_is_for_inference() -> None:
    network = tiny_network()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_weights_become_float32(folder: Path, weights: dict[str, Tensor]) -> None:
    save_file({key: value.half() for key, value in weights.items()}, folder / "model.safetensors")
    assert {value.dtype for value in load(folder).state_dict().values()} == {torch.float32}


def lose_one(weights: dict[str, Tensor]) -> None:
    del weights["backbone.norm.weight"]


def add_one(weights: dict[str, Tensor]) -> None:
    weights["backbone.extra"] = torch.zeros(1)


def reshape_one(weights: dict[str, Tensor]) -> None:
    weights["backbone.norm.weight"] = torch.zeros(65)


def make_one_integral(weights: dict[str, Tensor]) -> None:
    weights["backbone.norm.weight"] = torch.zeros(64, dtype=torch.int64)


def poison_one(weights: dict[str, Tensor]) -> None:
    weights["backbone.norm.weight"][3] = float("nan")


def overflow_one(weights: dict[str, Tensor]) -> None:
    weights["backbone.norm.weight"][3] = float("-inf")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lose_one, "1 missing: backbone.norm.weight"),
        (add_one, "1 not known: backbone.extra"),
        (reshape_one, "1 of another shape: backbone.norm.weight (65,) instead of (64,)"),
        (make_one_integral, "1 not floating-point numbers: backbone.norm.weight"),
        (poison_one, "1 not finite: backbone.norm.weight"),
        (overflow_one, "1 not finite: backbone.norm.weight"),
    ],
)
@pytest.mark.parametrize("file", ["model.ckpt", "model.safetensors"])
def test_weights_of_another_network_are_an_error(folder: Path, weights, change, told: str, file: str) -> None:
    change(weights)
    (torch.save if file.endswith("ckpt") else save_file)(weights, folder / file)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert caught.value.why == told
    assert file in caught.value.what


def test_a_quite_different_file_shows_few_of_many_faults(folder: Path) -> None:
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="1 not known: x") as caught:
        load(folder)
    assert "…" in caught.value.why
    assert len(caught.value.why) < 1000


class RunsCode:
    """Unpickled, it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("hidden", [False, True], ids=["alone", "among tensors"])
def test_a_pickle_that_would_run_code_does_not_run(folder: Path, tmp_path: Path, weights, hidden: bool) -> None:
    trace = tmp_path / "ran"
    evil = RunsCode(trace)
    torch.save(weights | {"evil": evil} if hidden else evil, folder / "model.ckpt")
    # That it would run is part of the test.
    torch.load(folder / "model.ckpt", weights_only=False)
    assert trace.exists()
    trace.unlink()
    with pytest.raises(CheckpointError, match="was not run"):
        load(folder)
    assert not trace.exists()


def test_a_bare_pickle_that_would_run_code_does_not_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    (folder / "model.ckpt").write_bytes(pickle.dumps(RunsCode(trace), protocol=2))
    with pytest.raises(CheckpointError):
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize("file", ["model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 100, 5000, -1000, -1])
def test_a_truncated_file_is_an_error(folder: Path, weights, file: str, keep: int) -> None:
    (torch.save if file.endswith("ckpt") else save_file)(weights, folder / file)
    (folder / file).write_bytes((folder / file).read_bytes()[:keep])
    with pytest.raises(CheckpointError):
        load(folder)


@pytest.mark.parametrize("file", ["model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x00" * 500, b"version https://git-lfs"])
def test_a_file_of_something_else_is_an_error(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert file in caught.value.what
    assert caught.value.why


@pytest.mark.parametrize("value", [[torch.zeros(1)], torch.zeros(1), {"a": 1}, {1: torch.zeros(1)}])
def test_tensors_without_names_are_an_error(folder: Path, value: object) -> None:
    torch.save(value, folder / "model.ckpt")
    with pytest.raises(CheckpointError, match="holds no parameters by name"):
        load(folder)


def test_a_folder_without_weights_is_an_error(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no weights"):
        load(folder)


def test_weights_without_a_config_are_an_error(folder: Path, weights) -> None:
    save_file(weights, folder / "model.safetensors")
    (folder / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"config\.yaml is missing"):
        load(folder)


@pytest.mark.parametrize("name", ["no-such-folder", "a/b/c", "/no/such", "", "../x", "a b/c"])
def test_a_name_that_is_neither_folder_nor_id_is_an_error(name: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    if name:
        with pytest.raises(CheckpointError, match="neither a folder nor the id"):
            find_checkpoint(name)
    else:
        with pytest.raises(CheckpointError, match="holds no weights"):
            find_checkpoint(name)


def test_another_sha256_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"weights")
    require_sha256(file, hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(CheckpointError, match="not the file that was published"):
        require_sha256(file, hashlib.sha256(b"others").hexdigest())
    with pytest.raises(CheckpointError, match="cannot be read"):
        require_sha256(tmp_path / "absent", "")


class Hub:
    """Stands for huggingface_hub: serves files of a folder, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, serve) -> None:
        self.asked: list[tuple[str, str, str | None]] = []

        def hf_hub_download(name: str, file: str, *, revision: str | None = None) -> str:
            self.asked.append((name, file, revision))
            return serve(file)

        module = types.ModuleType("huggingface_hub")
        module.hf_hub_download = hf_hub_download
        monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_what_is_published_has_to_have_its_sha256(folder: Path, weights, monkeypatch) -> None:
    torch.save(weights, folder / "model.ckpt")
    hub = Hub(monkeypatch, lambda file: str(folder / file))
    files = find_checkpoint("stabilityai/TripoSR", revision="main")
    assert hub.asked == [("stabilityai/TripoSR", name, "main") for name in ("config.yaml", "model.ckpt")]
    with pytest.raises(CheckpointError, match="429e2c6b22a0923967459de24d67f05962b235f79cde6b032aa7ed2ffcd970ee"):
        load_network(files)


def test_what_has_the_published_sha256_is_loaded(folder: Path, weights, monkeypatch) -> None:
    torch.save(weights, folder / "model.ckpt")
    Hub(monkeypatch, lambda file: str(folder / file))
    digest = hashlib.sha256((folder / "model.ckpt").read_bytes()).hexdigest()
    monkeypatch.setitem(checkpoint.PUBLISHED_SHA256, ("stabilityai/TripoSR", "model.ckpt"), digest)
    files = find_checkpoint("stabilityai/TripoSR")
    assert files.sha256 == digest
    # The config names DINO's sizes, the weights are tiny's: what follows the check of the hash is strict as well.
    with pytest.raises(CheckpointError, match="cross_attention_dim"):
        load_network(files)


def test_other_repositories_have_no_known_sha256(folder: Path, weights, monkeypatch) -> None:
    torch.save(weights, folder / "model.ckpt")
    Hub(monkeypatch, lambda file: str(folder / file))
    assert find_checkpoint("someone/else").sha256 is None


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("401 unauthorised\nmore"), RuntimeError()])
def test_a_hub_that_fails_is_an_error_of_ours(monkeypatch, error: Exception) -> None:
    def fail(_file: str) -> str:
        raise error

    Hub(monkeypatch, fail)
    with pytest.raises(CheckpointError, match=r"config\.yaml of some/one could not be fetched") as caught:
        find_checkpoint("some/one")
    assert caught.value.why == (str(error).partition("\n")[0] or "RuntimeError")


def test_without_huggingface_hub_its_absence_is_told(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExtraMissingError, match="huggingface-hub is not installed"):
        find_checkpoint("some/one")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for name in ("a.ckpt", "a.safetensors"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_weights(tmp_path / name)
