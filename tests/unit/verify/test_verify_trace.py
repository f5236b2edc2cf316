"""What a recorded call proves: which kernels are the wheel's own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="calls are recorded by torch")

from cudawheel.verify.oracles.gpu_trace import Trace, base_name


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("torchmcubes::count_kernel(torchmcubes::Grid, unsigned short*)", "count_kernel"),
        ("void (anonymous namespace)::count<256>(float const*)", "count"),
        ("void KNearestNeighborKernelV3<float, 3, 1>(float const*, float const*)", "KNearestNeighborKernelV3"),
        ("mcubes_cuda_kernel(at::GenericPackedTensorAccessor<float, 3ul>)", "mcubes_cuda_kernel"),
        ("_Z5helloPf", "_Z5helloPf"),
        ("", ""),
    ],
)
def test_the_bare_name_of_a_kernel(kernel: str, name: str) -> None:
    assert base_name(kernel) == name


def test_only_kernels_that_a_library_registers_are_its_own(tmp_path: Path) -> None:
    library = tmp_path / "a.so"
    library.write_bytes(b"\x7fELF...\0_ZN11torchmcubes12count_kernelENS_4GridE\0")
    recorded = Trace(
        kernels=(
            "torchmcubes::count_kernel(torchmcubes::Grid)",
            "void at::native::vectorized_elementwise_kernel<4>(int)",
            "torchmcubes::count_kernel(torchmcubes::Grid)",
        ),
        to_host=0,
        to_device=0,
    )
    assert recorded.within([library]) == ("count_kernel",)
    assert recorded.within([]) == ()
