"""warp-rnnt's loss and gradient against the recursion over all alignments, in float64. It has no CPU path."""

from __future__ import annotations

import sys

import torch
import warp_rnnt

NOTHING_TO_COMPUTE = 77


def loss_by_recursion(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give minus the logarithm of the probability of a transcription (Graves 2012, equation 16).

    Args:
        log_probs: of shape (frames, labels + 1, vocabulary); the blank is 0.
        labels: the transcription.
    """
    frames, places, _ = log_probs.shape
    forward: dict[tuple[int, int], torch.Tensor] = {(0, 0): torch.zeros((), dtype=log_probs.dtype)}
    for frame in range(frames):
        for place in range(places):
            ways = []
            if frame:
                ways.append(forward[frame - 1, place] + log_probs[frame - 1, place, 0])
            if place:
                ways.append(forward[frame, place - 1] + log_probs[frame, place - 1, labels[place - 1]])
            if ways:
                forward[frame, place] = torch.stack(ways).logsumexp(0)
    return -(forward[frames - 1, places - 1] + log_probs[frames - 1, places - 1, 0])


def check() -> None:
    """Compare a batch of transcriptions of different lengths."""
    generator = torch.Generator().manual_seed(7)
    frames, lengths, vocabulary = torch.tensor([11, 7, 9]), torch.tensor([4, 6, 1]), 8
    logits = torch.randn(3, 11, 7, vocabulary, generator=generator, dtype=torch.float64).log_softmax(3)
    labels = torch.randint(1, vocabulary, (3, 6), generator=generator)
    wanted = logits.clone().requires_grad_()
    expected = torch.stack(
        [
            loss_by_recursion(wanted[item, : frames[item], : lengths[item] + 1], labels[item, : lengths[item]])
            for item in range(3)
        ]
    )
    expected.sum().backward()
    for gather in (False, True):
        given = logits.float().cuda().requires_grad_()
        found = warp_rnnt.rnnt_loss(
            given, labels.int().cuda(), frames.int().cuda(), lengths.int().cuda(), gather=gather
        )
        found.sum().backward()
        torch.testing.assert_close(found.double().cpu(), expected.detach(), rtol=1e-5, atol=1e-5)
        assert given.grad is not None
        torch.testing.assert_close(given.grad.double().cpu(), wanted.grad, rtol=1e-4, atol=1e-5)


if not torch.cuda.is_available():
    print("no GPU, and warp-rnnt computes on nothing else")
    sys.exit(NOTHING_TO_COMPUTE)
check()
print("cuda: losses and gradients are right")
