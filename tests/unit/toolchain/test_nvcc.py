from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.errors import ToolchainError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.nvcc import ask, home_of

NewProgram = Callable[[Path, str], Path]


def test_an_nvcc_says_what_it_is(tree: Path) -> None:
    answer = ask(tree / "bin" / "nvcc")

    assert answer.version == CudaVersion(13, 0)
    assert answer.release == "13.0.88"
    assert answer.gpu_codes == tuple(map(ComputeCapability.parse, ("7.5", "9.0a", "10.3", "11.0")))


def test_flags_in_the_environment_do_not_reach_it(
    tmp_path: Path, new_program: NewProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVCC_PREPEND_FLAGS", "--unknown")
    script = 'test -z "$NVCC_PREPEND_FLAGS" && echo "release 13.0, V13.0.88" && echo && echo sm_75'
    assert ask(new_program(tmp_path / "nvcc", f"#!/bin/sh\n{script}\n")).release == "13.0.88"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'error while loading shared libraries' >&2; exit 127", "exit status 127: error while loading"),
        ("exit 1", "it said nothing"),
        ("echo clang version 20", "--version names no CUDA release"),
        ("echo release 13.0, V13.0.88", "--list-gpu-code names no GPU"),
    ],
)
def test_a_broken_nvcc_is_named_with_what_it_said(
    tmp_path: Path, new_program: NewProgram, script: str, reason: str
) -> None:
    nvcc = new_program(tmp_path / "nvcc", f"#!/bin/sh\n{script}\n")

    with pytest.raises(ToolchainError, match="not a working nvcc") as caught:
        ask(nvcc)

    assert str(nvcc) in caught.value.what
    assert reason in caught.value.why
    assert "--toolchain" in caught.value.remedy


def test_a_missing_nvcc_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="no such file"):
        ask(tmp_path / "nvcc")


def test_an_nvcc_that_may_not_be_run_is_an_error(tree: Path) -> None:
    (tree / "bin" / "nvcc").chmod(0o644)
    with pytest.raises(ToolchainError, match="not executable"):
        ask(tree / "bin" / "nvcc")


def test_a_wrapper_on_path_leads_to_the_toolkit_behind_it(tree: Path, tmp_path: Path, new_program: NewProgram) -> None:
    wrapper = new_program(tmp_path / "usr" / "bin" / "nvcc", f'#!/bin/sh\nexec {tree}/bin/nvcc "$@"\n')
    assert home_of(wrapper) == tree


def test_an_nvcc_that_names_no_top_is_taken_to_lie_in_its_toolkit(tmp_path: Path, new_program: NewProgram) -> None:
    nvcc = new_program(tmp_path / "cuda" / "bin" / "nvcc", "#!/bin/sh\n")
    assert home_of(nvcc) == tmp_path / "cuda"
