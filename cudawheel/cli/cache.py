"""`cudawheel cache`: the store of proven wheels, listed, checked, pruned, and exchanged with others."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import click

from cudawheel.cli.cache_display import show_checked, show_entries, show_exchanged, show_pruned
from cudawheel.cli.console import BuildProgress
from cudawheel.cli.options import cache_folder, cache_option, keys_folder, parse_size
from cudawheel.errors import CudawheelError, StoredWheelError, UsageError
from cudawheel.factory.checking import check_store
from cudawheel.factory.exchange import NOT_SOUND, pull_all, push_all, signed_by
from cudawheel.factory.stranger import Check
from cudawheel.store.pruning import Limits
from cudawheel.store.pruning import prune as prune_store
from cudawheel.store.remote import RemoteStore
from cudawheel.store.store import Store
from cudawheel.store.stored import FINGERPRINT

_AGE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHORTEST_PREFIX = 4

_signature_options = (
    click.option("--require-signature", is_flag=True, help="Let pass only what a trusted key has signed."),
    click.option(
        "--trust",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="PUBKEY",
        help="A public key to trust, instead of your own ones; with it a signature is required.",
    ),
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_fingerprints = click.argument("fingerprints", nargs=-1, metavar="[FINGERPRINT]...")
_remote = click.argument("remote", metavar="REMOTE")


@click.group("cache")
def command() -> None:
    """The store of wheels that were built and proven.

    A FINGERPRINT may be cut short to its first digits. REMOTE is a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or,
    for reading, https://HOST/PATH.
    """


@command.command("list")
@cache_option
@_json_option
def list_(cache: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List the wheels, the most recently used first."""
    store = _store(cache)
    show_entries(store.entries(), store.damaged(), as_json=as_json)


@command.command("check")
@_signature_options[0]
@_signature_options[1]
@_fingerprints
@cache_option
@_json_option
@click.pass_context
def check(  # noqa: PLR0917 - click passes options by name
    context: click.Context,
    fingerprints: tuple[str, ...],
    require_signature: bool,  # noqa: FBT001 - click passes flags by name
    trust: tuple[Path, ...],
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Check wheels by hash, RECORD and audit, all or some.

    What is not sound is set aside under `damaged` and built again when it is next asked for; exit code 25.
    """
    store = _store(cache)
    wanted = _select(_names(store), fingerprints)
    more = _signature(trust, required=require_signature)
    context.exit(_worst(show_checked(check_store(store, wanted, more), as_json=as_json)))


@command.command("prune")
@click.option("--age", "age_text", metavar="AGE", help="Remove what was not used for so long: 30d, 12h, 2w.")
@click.option("--size", "size_text", metavar="SIZE", help="Remove what makes it larger than this: 10G.")
@click.option("--count", type=click.IntRange(min=0), metavar="N", help="Remove what makes it more wheels than this.")
@click.option("--dry-run", is_flag=True, help="Say only what would be removed.")
@cache_option
@_json_option
def prune(  # noqa: PLR0917 - click passes options by name
    age_text: str | None,
    size_text: str | None,
    count: int | None,
    dry_run: bool,  # noqa: FBT001
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Remove the least recently used wheels.

    None that is being built or read goes, and none because of a clock that went back.
    """
    if age_text is None and size_text is None and count is None:
        raise UsageError("nothing says what may stay", remedy="Give --age 30d, --size 10G or --count 100.")
    limits = Limits(
        age=_parse_age(age_text) if age_text is not None else None,
        size=_parse_size(size_text) if size_text is not None else None,
        count=count,
    )
    pruned = prune_store(_store(cache), limits, now=time.time(), dry_run=dry_run)
    show_pruned(pruned, dry_run=dry_run, as_json=as_json)


@command.command("push")
@_remote
@_fingerprints
@cache_option
@_json_option
@click.pass_context
def push(
    context: click.Context,
    remote: str,
    fingerprints: tuple[str, ...],
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Put wheels into a remote store, all or some.

    The first wheel of a fingerprint stays there.
    """
    store = _store(cache)
    wanted = _select(_names(store), fingerprints)
    context.exit(_worst(show_exchanged(push_all(store, RemoteStore(remote), wanted), as_json=as_json)))


@command.command("pull")
@_signature_options[0]
@_signature_options[1]
@_remote
@_fingerprints
@cache_option
@_json_option
@click.pass_context
def pull(  # noqa: PLR0917 - click passes options by name
    context: click.Context,
    remote: str,
    fingerprints: tuple[str, ...],
    require_signature: bool,  # noqa: FBT001 - click passes flags by name
    trust: tuple[Path, ...],
    cache: Path | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Take wheels out of a remote store, all or some.

    Each is checked as if a stranger had built it: hash, RECORD, audit, and the signature where one is required.
    """
    there = RemoteStore(remote)
    more = _signature(trust, required=require_signature)
    # Those that are named in full need no list, which not every web server gives.
    complete = fingerprints and all(FINGERPRINT.fullmatch(text) for text in fingerprints)
    wanted = fingerprints if complete else _select(there.fingerprints(), fingerprints)
    with BuildProgress() as progress:
        done = show_exchanged(pull_all(_store(cache), there, wanted, progress, more=more), as_json=as_json)
    context.exit(_worst(done))


def _signature(trust: tuple[Path, ...], *, required: bool) -> tuple[Check, ...]:
    """Give the check of signatures that was asked for, by the keys that are named, else by a person's own."""
    if not required and not trust:
        return ()
    from cudawheel.provenance.keys import trusted_keys  # noqa: PLC0415 - few ask for signatures

    return signed_by([key.path for key in trusted_keys(trust, keys_folder())])


def _store(cache: Path | None) -> Store:
    return Store(cache_folder(cache).absolute() / "store")


def _names(store: Store) -> tuple[str, ...]:
    return tuple(entry.fingerprint for entry in store.entries())


def _select(there: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Give the fingerprints that are meant by their first digits; all of them where none is named.

    Raises:
        UsageError: one means none of them, or several.
    """
    if not wanted:
        return tuple(there)
    chosen = []
    for text in wanted:
        found = [name for name in there if name.startswith(text.lower())]
        if len(found) != 1 or len(text) < _SHORTEST_PREFIX:
            raise UsageError(
                f"{text!r} is not the beginning of one fingerprint",
                why="\n".join(found) if len(found) > 1 else "There is none of that name." if not found else "",
                remedy=f"Give at least {_SHORTEST_PREFIX} digits, and as many as tell it from all others: "
                "cudawheel cache list --json",
            )
        chosen += found
    return tuple(dict.fromkeys(chosen))


class _Result(Protocol):
    @property
    def fault(self) -> CudawheelError | None: ...


def _worst(results: Iterable[_Result]) -> int:
    """Give the exit code: 0 if all is well, 25 if a wheel is not sound, else that of the first fault."""
    codes = [result.fault.exit_code for result in results if result.fault is not None]
    unsound = {kind.exit_code for kind in NOT_SOUND}
    return StoredWheelError.exit_code if unsound.intersection(codes) else codes[0] if codes else 0


def _parse_age(text: str) -> timedelta:
    """Read `30d`, `12h`, `2w`, `90m` or `45s`.

    Raises:
        UsageError: it is none of these.
    """
    match = _AGE.fullmatch(text.strip())
    try:
        if match is not None:
            return timedelta(**{_UNITS[match["unit"].lower()]: float(match["number"])})
    except OverflowError:
        pass
    raise UsageError(f"--age {text!r} is no length of time", remedy="Write 30d for days, 12h for hours, 2w for weeks.")


def _parse_size(text: str) -> int:
    """Read a size of a store.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return 0 if text.strip() == "0" else parse_size(text)
    except UsageError as error:
        raise UsageError(
            f"--size {text!r} is no size", remedy="Write 10G for gibibytes, 500M for mebibytes."
        ) from error
