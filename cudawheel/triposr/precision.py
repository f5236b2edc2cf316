"""Float32 that is float32, and a quicker way to nearly the same on GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Of the 23 bits of a float32's mantissa, TF32 leaves this many out.
_BITS_LESS = 13


@contextmanager
def full_float32() -> Iterator[None]:
    """Keep matrix products and convolutions on GPUs from rounding their inputs to TF32, which has 10 bits of mantissa.

    PyTorch lets cuDNN convolutions use TF32 unless told otherwise; what was set before is set again afterwards.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


class SplitProducts(TorchFunctionMode):
    """A context in which linear maps of float32 are computed by a GPU's TF32 units, with hardly a bit lost.

    A float32 is the sum of a number that TF32 holds exactly and a rest, 2^-11 of it or less. Of the four products of
    split factors, that of both rests is as small as float32's own rounding and is left out; the other three are one
    matrix product of three times the length, which TF32 units still do much faster than others do a single one. The
    method is that of Ootomo and Yokota, arXiv:2203.03341. Numbers have to be finite and below 3.4e38. Where there is
    no TF32, on the CPU for one, the result is the same, only slower.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Stand in for `torch.nn.functional.linear`; let everything else be."""
        if func is functional.linear:
            return _linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Split float32 numbers into two whose sum they are: the nearest that TF32 holds, and what is left."""
    bits = values.view(torch.int32) + (1 << (_BITS_LESS - 1))
    high = bits.bitwise_and_(-(1 << _BITS_LESS)).view(torch.float32)
    return high, values - high


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if inputs.dtype != torch.float32:
        return functional.linear(inputs, weight, bias)
    (high, low), (weight_high, weight_low) = split(inputs), split(weight)
    factors = torch.cat([high, low, high], dim=-1)
    weights = torch.cat([weight_high, weight_high, weight_low], dim=-1)
    with _tf32():
        return functional.linear(factors, weights, bias)


@contextmanager
def _tf32() -> Iterator[None]:
    """Let matrix products use TF32."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        yield
    finally:
        matmul.fp32_precision = before
