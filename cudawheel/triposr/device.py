"""The device that is asked for, or an error; never another one."""

from __future__ import annotations

import torch

from cudawheel.errors import DeviceError


def find_device(name: str | None = None) -> torch.device:
    """Give the device of a name, once it has shown that it can compute.

    Args:
        name: as PyTorch spells it: `cuda`, `cuda:1`, `cpu`; by default the first GPU where PyTorch sees one, else the
            CPU.

    Raises:
        DeviceError: there is no such device, or nothing runs on it.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        (torch.ones(2, device=device) + 1).sum().item()
    # PyTorch tells of unknown names, of missing GPUs and of missing drivers with these; AssertionError where it was
    # built without CUDA.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        seen = torch.cuda.device_count()
        raise DeviceError(
            f"{name or 'cuda'} cannot be used",
            why=f"{str(error).partition(chr(10))[0]}; PyTorch {torch.__version__} sees {seen} GPUs",
            remedy="Choose another device with --device, or install a PyTorch that is built for this one.",
        ) from error
    return device
