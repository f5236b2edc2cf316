"""NVIDIA's driver and its GPUs, through its management library (NVML). It must never make a probe fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cudawheel.doctor.machine import Driver, DriverState, Gpu
from cudawheel.doctor.world import World
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion

# NVML's return codes (nvml.h, nvmlReturn_t): 9 NVML_ERROR_DRIVER_NOT_LOADED, 12 NVML_ERROR_LIBRARY_NOT_FOUND.
_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND = 9, 12


def probe_driver(world: World) -> Driver:
    """Ask the driver what it is and what it sees."""
    device_files = _device_files(world)
    try:
        nvml = world.nvml()
    except ImportError as error:
        return Driver(state=DriverState.ABSENT, fault=f"nvidia-ml-py: {error}", device_files=device_files)
    try:
        nvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - the library's own, and whatever ctypes makes of a damaged one
        absent = getattr(error, "value", None) in {_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND}
        state = DriverState.ABSENT if absent else DriverState.BROKEN
        return Driver(state=state, fault=_say(error), device_files=device_files)
    try:
        return _ask(nvml, device_files=device_files)
    finally:
        _try(nvml.nvmlShutdown)


def _ask(nvml: Any, *, device_files: bool) -> Driver:  # noqa: ANN401 - a module without types
    number, fault = _try(nvml.nvmlSystemGetCudaDriverVersion)
    version, _ = _try(nvml.nvmlSystemGetDriverVersion)
    count, count_fault = _try(nvml.nvmlDeviceGetCount)
    return Driver(
        state=DriverState.BROKEN if count_fault else DriverState.WORKS,
        version=_text(version) if version is not None else "",
        # 13020 is CUDA 13.2.
        cuda=CudaVersion(number // 1000, number % 1000 // 10) if isinstance(number, int) else None,
        gpus=tuple(_gpus(nvml, count or 0)),
        fault=count_fault or fault,
        device_files=device_files,
    )


def _gpus(nvml: Any, count: int) -> Iterator[Gpu]:  # noqa: ANN401
    for index in range(count):
        handle, lost = _try(lambda index=index: nvml.nvmlDeviceGetHandleByIndex(index))
        if lost:
            yield Gpu(name=f"GPU {index}", capability=None, fault=lost)
            continue
        name, _ = _try(lambda handle=handle: nvml.nvmlDeviceGetName(handle))
        pair, fault = _try(lambda handle=handle: nvml.nvmlDeviceGetCudaComputeCapability(handle))
        memory, _ = _try(lambda handle=handle: nvml.nvmlDeviceGetMemoryInfo(handle).total)
        yield Gpu(
            name=_text(name) if name is not None else f"GPU {index}",
            capability=ComputeCapability(*pair) if pair else None,
            memory=int(memory) if memory else None,
            fault=fault,
        )


def _try(question: Callable[..., Any]) -> tuple[Any, str]:
    """Give the answer to a question, or what went wrong."""
    try:
        return question(), ""
    except Exception as error:  # noqa: BLE001 - as above
        return None, _say(error)


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__


def _text(value: Any) -> str:  # noqa: ANN401 - bytes in early releases of the library
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _device_files(world: World) -> bool:
    """Whether the kernel shows GPUs: /dev/nvidia0 and the like, or /dev/dxg in WSL2."""
    names = {path.name for path in world.listed("/dev")}
    return any(name == "dxg" or (name.startswith("nvidia") and name[6:].isdigit()) for name in names)
