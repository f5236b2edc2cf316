"""The checks, one file each. `CHECKS` is all of them in the order of their codes."""

from __future__ import annotations

from cudawheel.audit.checks.base import Check, Subject, Violation
from cudawheel.audit.checks.build_path import BuildPath
from cudawheel.audit.checks.bundled_library import BundledLibrary
from cudawheel.audit.checks.capability_missing import CapabilityMissing
from cudawheel.audit.checks.debug_residue import DebugResidue
from cudawheel.audit.checks.device_code_absent import DeviceCodeAbsent
from cudawheel.audit.checks.limited_api import LimitedApi
from cudawheel.audit.checks.record_mismatch import RecordMismatch
from cudawheel.audit.checks.stable_abi import StableAbi
from cudawheel.audit.checks.torch_requirement import TorchRequirement
from cudawheel.audit.checks.undefined_symbol import UndefinedSymbols
from cudawheel.audit.checks.unexpected_library import UnexpectedLibrary
from cudawheel.audit.checks.wrong_tag import WrongTag

__all__ = ["CHECKS", "Check", "Subject", "Violation"]

CHECKS: tuple[Check, ...] = (
    CapabilityMissing(),
    DeviceCodeAbsent(),
    UnexpectedLibrary(),
    BundledLibrary(),
    UndefinedSymbols(),
    BuildPath(),
    WrongTag(),
    RecordMismatch(),
    DebugResidue(),
    TorchRequirement(),
    StableAbi(),
    LimitedApi(),
)
