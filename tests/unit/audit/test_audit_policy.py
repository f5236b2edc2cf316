from __future__ import annotations

import re

import pytest

from cudawheel.audit.policy import load_policy


def test_every_entry_says_why_and_where_from() -> None:
    policy = load_policy()
    assert all(entry.why and entry.source for entry in policy.runtime_libraries)
    assert {entry.provider for entry in policy.runtime_libraries} == {"torch", "cuda", "driver"}
    assert len(set(policy.runtime_patterns)) == len(policy.runtime_patterns)


def test_manylinux_comes_from_auditwheel() -> None:
    assert {"libc.so.6", "libstdc++.so.6", "ld-linux*"} <= set(load_policy().manylinux_libraries)


@pytest.mark.parametrize(
    ("symbol", "owned"),
    [
        ("_ZN2at6Tensor3addEv", True),
        ("_ZNK3c104SymIntEv", True),
        ("_ZTIN5torch8autograd4NodeE", True),
        ("aoti_torch_empty_strided", True),
        ("torch_call_dispatcher", True),
        ("THPVariable_Wrap", True),
        ("_Z3addN2at6TensorE", False),
        ("_ZN4demo3addEN2at6TensorE", False),
        ("cuCtxGetCurrent", False),
        ("my_torch_helper", False),
    ],
)
def test_torchs_own_symbols_are_recognised(symbol: str, owned: bool) -> None:
    pattern = load_policy().torch_symbols
    assert isinstance(pattern, re.Pattern)
    assert (pattern.match(symbol) is not None) is owned
