"""The decoder on a grid as one kernel, which keeps hidden layers on the multiprocessor instead of in memory.

Layer by layer, each of a grid's points writes and reads 64 numbers a layer; fused, it reads three rows of the first
layer and writes one density. In float32 that takes less than half the time (benchmarks/results/triposr-h200.txt). The
kernel is compiled on the machine it runs on, for its GPU, by NVRTC, which PyTorch brings; cuda-core compiles, keeps
what came out in the user's cache, and launches.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int, c_longlong
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cuda.core import Kernel, ObjectCode, Program

    from cudawheel.triposr.decoder import Decoder

# As the kernel has them.
_WIDTH, _TILE = 64, 128
_SOURCE, _NAME = "decode_grid.cu", "decode_grid"

DecodeSpan = Callable[[int, int], None]


class CannotFuseError(Exception):
    """The decoder has to run layer by layer; the message says why."""


def fused_span_decoder(decoder: Decoder, first_layer: tuple[Tensor, Tensor, Tensor], density: Tensor) -> DecodeSpan:
    """Give the function that fills the raw density from one point's number to another's, that one excluded.

    Args:
        decoder: the decoder.
        first_layer: three maps, (R, R, 64), whose sum at a point is the first layer without SiLU.
        density: (R, R, R), x slowest, which is filled.

    Raises:
        CannotFuseError: the decoder is of another width or type, is not on an NVIDIA GPU, or what compiles is missing.
    """
    hidden, last = decoder.linear_layers[1:-1], decoder.linear_layers[-1]
    if density.device.type != "cuda" or torch.version.cuda is None:
        raise CannotFuseError(f"{density.device} is no NVIDIA GPU")
    if last.in_features != _WIDTH or density.dtype != torch.float32:
        raise CannotFuseError(f"the decoder has {last.in_features} neurons in {density.dtype}, not {_WIDTH} in float32")
    index = density.device.index if density.device.index is not None else torch.cuda.current_device()
    kernel = _compiled(index)
    empty = density.new_empty((0, _WIDTH))
    # Whoever holds a pointer has to keep what it points to: all of these live as long as the function does.
    inputs = [
        *(part.contiguous() for part in first_layer),
        torch.stack([layer.weight.mT for layer in hidden]) if hidden else empty,
        torch.stack([layer.bias for layer in hidden]) if hidden else empty,
        last.weight[0].contiguous(),
        last.bias[:1].contiguous(),
    ]

    def decode_span(start: int, stop: int) -> None:
        _launch(kernel, inputs, density, hidden_layers=len(hidden), span=(start, stop))

    return decode_span


def _launch(
    kernel: Kernel, inputs: list[Tensor], density: Tensor, *, hidden_layers: int, span: tuple[int, int]
) -> None:
    """Queue the kernel in PyTorch's current stream."""
    from cuda.core import LaunchConfig, Stream, launch  # noqa: PLC0415 - only where there is a GPU

    start, stop = span
    tiles = -(-(stop - start) // _TILE)
    pointers = [tensor.data_ptr() for tensor in (*inputs, density)]
    with torch.cuda.device(density.device):
        stream = Stream.from_handle(torch.cuda.current_stream().cuda_stream)
        numbers = (c_int(len(density)), c_int(hidden_layers), c_longlong(start), c_longlong(stop))
        launch(stream, LaunchConfig(grid=tiles, block=_TILE), kernel, *pointers, *numbers)


@cache
def _compiled(index: int) -> Kernel:
    """Compile the kernel for one GPU and load it there, once for each process.

    Raises:
        CannotFuseError: the compiler is missing or fails.
    """
    source = files("cudawheel.triposr").joinpath(_SOURCE).read_text(encoding="utf-8")
    try:
        from cuda.core import Device, Program, ProgramOptions  # noqa: PLC0415 - only where there is a GPU

        torch.cuda.init()
        with torch.cuda.device(index):
            gpu = Device(index)
            gpu.set_current()
            return _kept(Program(source, "c++", ProgramOptions(arch=f"sm_{gpu.arch}"))).get_kernel(_NAME)
    except Exception as error:  # whatever it is, the decoder runs without, and is told why
        first_line = str(error).partition("\n")[0]
        raise CannotFuseError(f"{type(error).__name__}: {first_line}") from error


def _kept(program: Program) -> ObjectCode:
    """Compile, or take what an earlier process compiled out of the user's cache, where there is one."""
    from cuda.core.utils import FileStreamProgramCache  # noqa: PLC0415 - only where there is a GPU

    try:
        return program.compile("cubin", cache=FileStreamProgramCache())
    except OSError:
        return program.compile("cubin")
