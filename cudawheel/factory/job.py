"""A request narrowed to one source: what would be built, and the fingerprint that it would have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from cudawheel.builder.identity import describe
from cudawheel.builder.lock import LockedBuild, find_locked, lock_path
from cudawheel.builder.own_wheel import own_code
from cudawheel.errors import CapabilityError, PlanError, SourceUnreachableError
from cudawheel.factory.import_check import find_check
from cudawheel.factory.request import BuildRequest
from cudawheel.files import sha256_of
from cudawheel.model.variant import Variant
from cudawheel.plan.fingerprint import fingerprint
from cudawheel.plan.plan import Cell, Plan, make_plan
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.recipe.sources import Source
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.host_compiler import find_host_compiler


@dataclass(frozen=True)
class Job:
    """One source of one request. What is derived is computed when it is asked for, and once."""

    request: BuildRequest
    loaded: LoadedRecipe
    source: Source

    @cached_property
    def settings(self) -> BuildSettings:
        """`[build]` as it holds for this source."""
        return self.loaded.recipe.settings_for(self.source)

    @cached_property
    def plan(self) -> Plan:
        """The matrix as the request narrows it."""
        return make_plan(self.loaded.recipe, self.settings, self.request.selection, self.request.machine)

    @cached_property
    def cell(self) -> Cell:
        """The chosen cell of the plan; raises PlanError or CapabilityError if there is none."""
        return self.plan.choose(self.request.machine)

    @cached_property
    def variant(self) -> Variant:
        """The variant of that cell."""
        assert self.cell.variant is not None  # noqa: S101 - `choose` gives accepted cells only
        return self.cell.variant

    @cached_property
    def source_facts(self) -> dict[str, str]:
        """What identifies the source, its patches included."""
        return describe(self.source, self.settings, self.loaded)

    @cached_property
    def locked(self) -> LockedBuild | None:
        """What the recipe's lock says of this build, unless it is to be written anew; raises LockError."""
        if self.request.lock == "renew":
            return None
        key = (self.variant.identifier, self.source.label, self.request.toolchain)
        return find_locked(lock_path(self.loaded.path), key)

    @property
    def writes_lock(self) -> bool:
        """Whether the lock is to get an entry of this build, for which it has to be built."""
        return self.request.lock != "use" and self.locked is None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that goes into the wheel; raises HostCompilerError or RecipeError."""
        compiler = find_host_compiler(compiler_limits(self.variant.cuda), self.request.environ)
        tools = {
            "toolchain": self.request.toolchain,
            "host_compiler": f"{compiler.family} {compiler.version}",
            "cudawheel": own_code(),
        }
        check = find_check(self.loaded)
        if check is not None:
            tools["check"] = sha256_of(check)
        if self.locked is not None:
            tools["lock"] = self.locked.digest
        if self.request.network:
            tools["network"] = "allowed"
        return fingerprint(self.loaded.recipe, self.settings, self.variant, source=self.source_facts, tools=tools)


class _Recorded(Protocol):
    """A wheel somewhere, of which at least the build record is at hand."""

    @property
    def record(self) -> dict[str, Any]: ...


_Found = TypeVar("_Found", bound=_Recorded)


def first_known(jobs: list[Job], find: Callable[[str], _Found | None]) -> tuple[Job, _Found] | None:
    """Look a request up in a store, source by source, without fetching any source.

    A wheel from a fallback counts only if the sources before it were found unreachable when it was built; one that
    somebody asked for by `--source` does not stop the first source from being tried.

    Args:
        jobs: one for each source, in order.
        find: gives what the store has of a fingerprint.
    """
    passed: set[str] = set()
    for job in jobs:
        found = _look_up(job, find)
        if found is not None and passed <= {skip["label"] for skip in found.record["source"]["skipped"]}:
            return job, found
        passed.add(job.source.label)
    return None


def _look_up(job: Job, find: Callable[[str], _Found | None]) -> _Found | None:
    try:
        return find(job.fingerprint)
    except (SourceUnreachableError, PlanError, CapabilityError):
        # The folder of a path source is missing, or a fallback cannot be built for what is asked: both count once it
        # is this source's turn.
        return None
