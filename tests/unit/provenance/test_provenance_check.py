"""Wheels against their provenance: the right one passes, and each way to be wrong has an error of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_packages import sha256, write_wheel

from cudawheel.errors import (
    CudawheelError,
    ProvenanceError,
    TamperedError,
    UnknownKeyError,
    UnsignedError,
    WrongWheelError,
)
from cudawheel.provenance.check import check_all, check_provenance, provenance_of
from cudawheel.provenance.envelope import PAYLOAD_TYPE, open_envelope, sign
from cudawheel.provenance.keys import PrivateKey, PublicKey, load_public_key, new_key
from cudawheel.provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE


def statement_of(wheel: Path, **changes: Any) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": wheel.name, "digest": {"sha256": sha256(wheel.read_bytes())}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
        **changes,
    }


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return new_key(tmp_path / "keys", "mine")


@pytest.fixture
def trusted(key: PrivateKey) -> tuple[PublicKey, ...]:
    return (load_public_key(key.path.with_suffix(".pub")),)


@pytest.fixture
def wheel(tmp_path: Path, key: PrivateKey) -> Path:
    """A wheel with its provenance beside it."""
    made = write_wheel(tmp_path / "wheels", "tiny-ext", "1.0")
    provenance_of(made).write_bytes(sign(statement_of(made), key))
    return made


def change(wheel: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = provenance_of(wheel)
    envelope = json.loads(path.read_text())
    edit(envelope)
    path.write_text(json.dumps(envelope))


def refusal(wheel: Path, trusted: tuple[PublicKey, ...]) -> CudawheelError:
    with pytest.raises(ProvenanceError) as caught:
        check_provenance(wheel, trusted)
    assert wheel.name in caught.value.what
    assert caught.value.why
    assert caught.value.remedy
    return caught.value


def test_a_wheel_with_its_own_provenance_passes(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    attested = check_provenance(wheel, trusted)
    assert attested.statement == statement_of(wheel)
    assert attested.key == trusted[0]
    assert provenance_of(wheel).name == f"{wheel.name}.provenance.json"


def test_in_the_store_it_has_one_name_for_all(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    provenance_of(wheel).rename(wheel.with_name("provenance.dsse.json"))
    assert check_provenance(wheel, trusted).wheel == wheel


def test_it_may_come_from_elsewhere(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    content = provenance_of(wheel).read_bytes()
    provenance_of(wheel).unlink()
    assert check_provenance(wheel, trusted, envelope=content).key == trusted[0]


def test_one_of_several_trusted_keys_is_enough(wheel: Path, trusted: tuple[PublicKey, ...], tmp_path: Path) -> None:
    other = new_key(tmp_path / "keys", "other").public
    assert check_provenance(wheel, (other, *trusted)).key == trusted[0]


def test_a_wheel_without_provenance_is_unsigned(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    provenance_of(wheel).unlink()
    error = refusal(wheel, trusted)
    assert (type(error), error.exit_code) == (UnsignedError, 54)


def test_an_envelope_without_signatures_is_unsigned(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    change(wheel, lambda envelope: envelope.update(signatures=[]))
    assert type(refusal(wheel, trusted)) is UnsignedError


def test_somebody_elses_signature_is_of_an_unknown_key(wheel: Path, key: PrivateKey, tmp_path: Path) -> None:
    other = new_key(tmp_path / "keys", "other").public
    error = refusal(wheel, (other,))
    assert (type(error), error.exit_code) == (UnknownKeyError, 55)
    assert key.public.identifier[:16] in error.why
    assert "--trust" in error.remedy


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig"])
def test_whatever_is_changed_after_signing_is_tampering(part: str, wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    def edit(envelope: dict[str, Any]) -> None:
        if part == "payload":
            statement = json.loads(base64.b64decode(envelope["payload"]))
            statement["predicate"] = {"builder": "somebody else"}
            envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        elif part == "payloadType":
            envelope["payloadType"] = "application/json"
        else:
            signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
            signature[0] ^= 1
            envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()

    change(wheel, edit)
    error = refusal(wheel, trusted)
    assert (type(error), error.exit_code) == (TamperedError, 56)
    assert str(trusted[0].path) in error.why


def test_a_key_that_takes_anothers_name_is_not_that_key(
    wheel: Path, trusted: tuple[PublicKey, ...], tmp_path: Path
) -> None:
    """Who forges a signature writes the trusted key's name beside it."""
    forger = new_key(tmp_path / "keys", "forger")
    provenance_of(wheel).write_bytes(sign(statement_of(wheel), forger))
    change(wheel, lambda envelope: envelope["signatures"][0].update(keyid=trusted[0].identifier))
    assert type(refusal(wheel, trusted)) is TamperedError


def test_the_name_of_the_key_is_a_hint_and_no_more(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    change(wheel, lambda envelope: envelope["signatures"][0].update(keyid="of some other program"))
    assert check_provenance(wheel, trusted).key == trusted[0]


def test_other_bytes_are_another_wheel(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    error = refusal(wheel, trusted)
    assert (type(error), error.exit_code) == (WrongWheelError, 57)
    assert sha256(wheel.read_bytes()) in error.why


def test_the_same_bytes_under_another_name_are_another_wheel(wheel: Path, trusted: tuple[PublicKey, ...]) -> None:
    """Else an old version could be given out as a new one."""
    renamed = wheel.with_name("tiny_ext-2.0-py3-none-any.whl")
    provenance_of(wheel).rename(provenance_of(renamed))
    wheel.rename(renamed)
    assert type(refusal(renamed, trusted)) is WrongWheelError


@pytest.mark.parametrize(
    "changes",
    [
        {"predicateType": "https://example.org/test-result/v1"},
        {"predicateType": None},
        {"_type": "https://in-toto.io/Statement/v0.1"},
    ],
)
def test_a_genuine_statement_of_another_kind_is_no_provenance(
    changes: dict[str, Any], wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey
) -> None:
    provenance_of(wheel).write_bytes(sign(statement_of(wheel, **changes), key))
    error = refusal(wheel, trusted)
    assert (type(error), error.exit_code) == (ProvenanceError, 53)


@pytest.mark.parametrize(
    "subject",
    [[], None, {}, [{}], ["wheel"], [{"name": "tiny_ext-1.0-py3-none-any.whl"}], [{"digest": {"sha256": "0" * 64}}]],
)
def test_a_statement_that_names_no_such_file_is_of_another_wheel(
    subject: object, wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey
) -> None:
    provenance_of(wheel).write_bytes(sign(statement_of(wheel, subject=subject), key))
    assert type(refusal(wheel, trusted)) is WrongWheelError


FINGERPRINT = {"predicate": {"buildDefinition": {"internalParameters": {"fingerprint": "f" * 64}}}}


def test_an_older_wheel_of_the_same_name_does_not_pass_for_another_build(
    wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey
) -> None:
    provenance_of(wheel).write_bytes(sign(statement_of(wheel, **FINGERPRINT), key))
    assert check_provenance(wheel, trusted, fingerprint="f" * 64)
    for other in ("e" * 64, ""):
        with pytest.raises(WrongWheelError, match="other inputs"):
            check_provenance(wheel, trusted, fingerprint=other)


@pytest.mark.parametrize("predicate", [None, [], {}, {"buildDefinition": 3}])
def test_provenance_that_names_no_inputs_is_of_no_build_that_is_known(
    predicate: object, wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey
) -> None:
    provenance_of(wheel).write_bytes(sign(statement_of(wheel, predicate=predicate), key))
    with pytest.raises(WrongWheelError, match="other inputs"):
        check_provenance(wheel, trusted, fingerprint="f" * 64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"payload": "", "payloadType": "", "signatures": 3}',
        b'{"payload": "!", "payloadType": "x", "signatures": [{"keyid": "a", "sig": "b"}]}',
        b'{"payload": 3, "payloadType": "x", "signatures": [{"keyid": "a", "sig": ""}]}',
        b'{"payload": "", "payloadType": 7, "signatures": [{"keyid": "a", "sig": ""}]}',
        b'{"payload": "", "payloadType": "x", "signatures": [{"keyid": 5, "sig": 6}]}',
        b'{"payload": "", "payloadType": "x", "signatures": [[]]}',
    ],
)
def test_what_is_no_envelope_is_refused_and_never_passes(
    content: bytes, wheel: Path, trusted: tuple[PublicKey, ...]
) -> None:
    provenance_of(wheel).write_bytes(content)
    refusal(wheel, trusted)


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # keys do not change from one to the next
@given(
    st.binary(max_size=200)
    | st.fixed_dictionaries(
        {
            "payload": JSON,
            "payloadType": JSON,
            "signatures": st.lists(st.fixed_dictionaries({"keyid": JSON, "sig": JSON})),
        }
    ).map(lambda envelope: json.dumps(envelope).encode())
)
def test_no_content_passes_unsigned(trusted: tuple[PublicKey, ...], content: bytes) -> None:
    with pytest.raises(ProvenanceError):
        open_envelope(content, trusted)


def test_a_signed_payload_that_is_no_statement_is_refused(
    wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey
) -> None:
    for payload in (["a list"], "text", 3):
        provenance_of(wheel).write_bytes(sign(payload, key))  # type: ignore[arg-type]
        assert type(refusal(wheel, trusted)) is ProvenanceError


def test_the_same_statement_and_key_give_the_same_bytes(wheel: Path, key: PrivateKey) -> None:
    statement = statement_of(wheel)
    assert sign(statement, key) == sign(dict(reversed(statement.items())), key)
    assert json.loads(sign(statement, key))["payloadType"] == PAYLOAD_TYPE


def test_of_many_wheels_those_that_fail_are_named(wheel: Path, trusted: tuple[PublicKey, ...], key: PrivateKey) -> None:
    unsigned = write_wheel(wheel.parent, "tiny-ext", "2.0")
    swapped = write_wheel(wheel.parent, "tiny-ext", "3.0")
    provenance_of(swapped).write_bytes(sign(statement_of(wheel), key))
    failed = check_all((wheel, unsigned, swapped), trusted)
    assert [(path, type(error)) for path, error in failed] == [(unsigned, UnsignedError), (swapped, WrongWheelError)]
