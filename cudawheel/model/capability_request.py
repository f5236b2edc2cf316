"""What a person asks for: capabilities, names, ranges and keywords, before a toolkit has had its say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet

KEYWORDS = ("all", "all-major", "native", "torch")

_RANGE = re.compile(r"(?P<low>[\w.]+?)\s*(?:-|\.\.)\s*(?P<high>(?:sm_|compute_)?\d[\w.]*)")
_FLOOR = re.compile(r">=\s*(?P<low>[\w.]+)")
# What nvidia-smi and shops write around a name: `NVIDIA H100 80GB HBM3`, `RTX 4070 Laptop GPU`.
_DECORATION = re.compile(r"nvidia|geforce|laptop|\bgpu\b|\b\d+\s?gb\b|\bhbm\w+|\bpcie\b|\bsxm\d*|[\s_-]")
_PTX_SUFFIX = re.compile(r"\+ptx$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityContext:
    """The facts that a request is expanded against, passed in so that they can be tested without a GPU.

    Attributes:
        known: every capability that the planned CUDA can compile for, without suffixes.
        removed: those that only earlier CUDA releases can, so that a range across them says so.
        native: the capabilities of this machine's GPUs.
        torch: what the planned torch carries itself.
    """

    known: tuple[ComputeCapability, ...]
    removed: tuple[ComputeCapability, ...] = ()
    native: tuple[ComputeCapability, ...] = ()
    torch: CapabilitySet = field(default_factory=CapabilitySet)


@dataclass(frozen=True, slots=True)
class _Term:
    """One word of a request. Exactly one of `capabilities`, `keyword`, `low` says what it is about."""

    text: str
    cubin: bool = True
    ptx: bool = False
    capabilities: tuple[ComputeCapability, ...] = ()
    keyword: str = ""
    low: ComputeCapability | None = None
    high: ComputeCapability | None = None

    def expand(self, context: CapabilityContext) -> CapabilitySet:
        found = self._cubins(context)
        if not found:
            raise CapabilityError(
                f"{self.text!r} stands for no compute capability here",
                why="No GPU is visible on this machine." if self.keyword == "native" else "",
                remedy="Name the capabilities instead, such as 8.6;12.0+PTX.",
            )
        highest_ptx = {max(found)} if self.ptx else set()
        extra = context.torch.ptx if self.keyword == "torch" else ()
        return CapabilitySet.of(found if self.cubin else (), highest_ptx.union(extra))

    def _cubins(self, context: CapabilityContext) -> tuple[ComputeCapability, ...]:
        if self.capabilities:
            return self.capabilities
        if self.low is not None:
            within = {
                c for c in (*context.known, *context.removed) if c >= self.low and (not self.high or c <= self.high)
            }
            # The ends are named, so they are answered for, whether or not this CUDA knows them.
            return tuple(sorted(within | {self.low, self.high} if self.high else within))
        return {
            "all": context.known,
            "all-major": _lowest_of_each_major(context.known),
            "native": context.native,
            "torch": context.torch.cubins,
        }[self.keyword]


@dataclass(frozen=True, slots=True)
class CapabilityRequest:
    """A parsed request; `str()` gives back the text it came from."""

    text: str
    terms: tuple[_Term, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str, names: Mapping[str, tuple[ComputeCapability, ...]]) -> CapabilityRequest:
        """Read a list such as `8.6;9.0a;RTX 5070 Ti;>=10.0;12.0+PTX`.

        Args:
            text: words between `;` or `,`; blanks separate too, unless they belong to a GPU's name.
            names: GPUs and generations, spelt by `normalise_name`, with their capabilities.

        Raises:
            CapabilityError: a word is none of the spellings, or there is no word at all.
        """
        terms = tuple(term for chunk in re.split(r"[;,]", text) if chunk.strip() for term in _read(chunk, names))
        if not terms:
            raise CapabilityError("the list of compute capabilities is empty", remedy="Ask for 8.6;12.0+PTX, say.")
        return cls(text, terms)

    def expand(self, context: CapabilityContext) -> CapabilitySet:
        """Give every capability asked for, whether or not the planned CUDA can compile it."""
        found = CapabilitySet()
        for term in self.terms:
            found |= term.expand(context)
        return found

    @property
    def asks_this_machine(self) -> bool:
        """Whether the answer depends on the GPUs of this machine."""
        return any(term.keyword == "native" for term in self.terms)

    def __str__(self) -> str:
        return self.text


def normalise_name(name: str) -> str:
    """Spell a GPU or generation the one way it is looked up: `NVIDIA GeForce RTX 5070 Ti` -> `rtx5070ti`."""
    return _DECORATION.sub("", name.casefold())


def _read(chunk: str, names: Mapping[str, tuple[ComputeCapability, ...]]) -> Iterator[_Term]:
    whole = _term(chunk.strip(), names)
    if whole is not None:
        yield whole
        return
    for word in chunk.split():
        term = _term(word, names)
        if term is None:
            raise CapabilityError(
                f"{chunk.strip()!r} is not a compute capability, GPU, generation, range or keyword",
                why=_nearest(chunk, names),
                remedy="Allowed: 8.6, 86, sm_86, compute_86 (PTX), 86-real, 86-virtual, 9.0a, 12.0f, 8.6+PTX, "
                f"7.5-9.0, >=8.0, {', '.join(KEYWORDS)}, or a name such as Blackwell or RTX 5070 Ti.",
            )
        yield term


def _nearest(text: str, names: Mapping[str, tuple[ComputeCapability, ...]]) -> str:
    close = difflib.get_close_matches(normalise_name(text), names, n=3, cutoff=0.75)
    return f"Close to it are {', '.join(close)}." if close else ""


def _term(text: str, names: Mapping[str, tuple[ComputeCapability, ...]]) -> _Term | None:
    stem = _PTX_SUFFIX.sub("", text).strip()
    ptx = stem != text
    if stem.casefold() in KEYWORDS:
        return _Term(text, ptx=ptx, keyword=stem.casefold())
    if normalise_name(stem) in names:
        return _Term(text, ptx=ptx, capabilities=names[normalise_name(stem)])
    if match := _FLOOR.fullmatch(stem):
        return _Term(text, ptx=ptx, low=ComputeCapability.parse(match["low"]))
    if match := _RANGE.fullmatch(stem):
        low, high = ComputeCapability.parse(match["low"]), ComputeCapability.parse(match["high"])
        if high < low:
            raise CapabilityError(f"the range {text!r} runs backwards", remedy=f"Write {high}-{low}.")
        return _Term(text, ptx=ptx, low=low, high=high)
    return _single(text, stem, ptx=ptx)


def _single(text: str, stem: str, *, ptx: bool) -> _Term | None:
    """Read one capability; `compute_86` and `86-virtual` mean PTX alone, as they do to nvcc and CMake."""
    number, dash, kind = stem.partition("-")
    try:
        capability = ComputeCapability.parse(number)
    except CapabilityError:
        return None
    if dash and kind not in {"real", "virtual"}:
        return None
    virtual = kind == "virtual" or number.casefold().startswith("compute")
    return _Term(text, cubin=not virtual, ptx=ptx or virtual, capabilities=(capability,))


def _lowest_of_each_major(known: tuple[ComputeCapability, ...]) -> tuple[ComputeCapability, ...]:
    lowest: dict[int, ComputeCapability] = {}
    for capability in sorted(known):
        lowest.setdefault(capability.major, capability)
    return tuple(lowest.values())
