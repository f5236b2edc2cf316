"""What a person is told to install when an extra is missing: the cudawheel that runs, from where it came."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

from cudawheel.errors import ExtraMissingError, install_command


class Installed(Distribution):
    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, filename: str) -> str | None:
        assert filename == "direct_url.json"
        return self._direct_url

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError(path)


def installed(monkeypatch: pytest.MonkeyPatch, direct_url: object) -> None:
    text = direct_url if isinstance(direct_url, str) or direct_url is None else json.dumps(direct_url)
    monkeypatch.setattr("importlib.metadata.distribution", lambda _name: Installed(text))


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (None, "pip install 'cudawheel[sign]'"),
        ("{", "pip install 'cudawheel[sign]'"),
        ("[]", "pip install 'cudawheel[sign]'"),
        ({"url": "https://example.org/cudawheel.whl", "archive_info": {}}, "pip install 'cudawheel[sign]'"),
        ({"url": "file:///home/ada/cudawheel", "dir_info": {}}, "pip install '/home/ada/cudawheel[sign]'"),
        (
            {"url": "file:///home/ada/my%20wheels", "dir_info": {"editable": True}},
            "pip install -e '/home/ada/my wheels[sign]'",
        ),
    ],
)
def test_an_extra_is_installed_from_where_cudawheel_came(
    direct_url: object, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, direct_url)
    assert install_command("sign") == command
    assert ExtraMissingError("x", extra="sign").remedy == command
    assert ExtraMissingError("x", extra="sign", otherwise="do without.").remedy == f"{command}; or do without."


def test_without_an_extra_cudawheel_itself_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    assert install_command("") == "pip install cudawheel"


def test_a_cudawheel_that_runs_without_being_installed_comes_from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Distribution:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", absent)
    assert install_command("sign") == "pip install 'cudawheel[sign]'"
