"""Channels, and what an index shares with the one before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from cudawheel.index.model import File, Index, channel_of, is_channel_name


def file_of(project: str, version: str, sha256: str = "0" * 64) -> File:
    return File(
        path=Path(f"/wheels/{project}-{version}-py3-none-any.whl"),
        project=canonicalize_name(project),
        version=Version(version),
        size=1,
        sha256=sha256,
        metadata_sha256="1" * 64,
        requires_python="",
        modified_ns=0,
        inode=0,
    )


@pytest.mark.parametrize(
    ("version", "channel"),
    [
        ("1.0+cu.13.0.torch.2.11", "cu130"),
        ("1.0+cu.12.8.torch.2.9", "cu128"),
        ("1.0+bundled.cu.13.0.torch.2.11", "cu130"),
        ("1.0+cu.13.0", "cu130"),
        ("2.13.0+cu130", "cu130"),
        ("2.13.0+git1234.cu126", "cu126"),
        ("1.0", ""),
        ("1.0+cpu", ""),
        ("1.0+torch.2.11", ""),
        ("1.0+pt211cu130", ""),
        ("1.0+rescue.13.0", ""),
        ("1.0+cu.13", ""),
        ("1.0+cu.x.13.0", ""),
        ("1.0+cu1", ""),
    ],
)
def test_the_channel_stands_in_the_local_version(version: str, channel: str) -> None:
    assert channel_of(Version(version)) == channel


def test_names_of_channels_are_known() -> None:
    assert [
        name for name in ("cu130", "cu12", "cu", "cu1", "cuda", "cu13000", "cu130x", "CU130") if is_channel_name(name)
    ] == [
        "cu130",
        "cu12",
    ]


def test_a_wheel_without_cuda_is_in_the_overall_channel_only() -> None:
    index = Index.of(
        [file_of("a", "1.0+cu.13.0"), file_of("a", "1.0+cu.12.8", "2" * 64), file_of("b", "1.0", "3" * 64)]
    )
    names = {
        channel: {project: list(held.versions) for project, held in content.projects.items()}
        for channel, content in index.channels.items()
    }
    assert names == {
        "": {"a": ["1.0+cu.12.8", "1.0+cu.13.0"], "b": ["1.0"]},
        "cu128": {"a": ["1.0+cu.12.8"]},
        "cu130": {"a": ["1.0+cu.13.0"]},
    }


def test_an_empty_index_has_the_overall_channel() -> None:
    assert list(Index.of(()).channels) == [""]


def test_versions_are_ordered_as_numbers() -> None:
    index = Index.of([file_of("a", f"1.0+cu.13.0.torch.2.{minor}", f"{minor:064}") for minor in (11, 9, 10)])
    assert index.channels[""].projects["a"].versions == tuple(f"1.0+cu.13.0.torch.2.{minor}" for minor in (9, 10, 11))


def test_other_bytes_have_another_place() -> None:
    first, second = file_of("a", "1.0+cu.13.0"), file_of("a", "1.0+cu.13.0", "2" * 64)
    assert first.name == second.name
    assert first.place != second.place
    assert "%2B" in first.url
    assert "+" not in first.url


def test_equal_projects_are_shared_and_others_are_not() -> None:
    first = Index.of([file_of("a", "1.0"), file_of("b", "1.0", "2" * 64)])
    changed = [file_of("a", "1.0"), replace(file_of("b", "1.0", "2" * 64), yanked="broken")]
    second = Index.of(changed).sharing_with(first)
    old, new = first.channels[""].projects, second.channels[""].projects
    assert new["a"] is old["a"]
    assert new["b"] is not old["b"]
    assert new["b"].files[0].yanked == "broken"
