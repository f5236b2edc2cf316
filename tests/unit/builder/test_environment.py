"""Build environments out of wheels on this machine; uv makes them, without any index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from listening import Heard

from cudawheel.builder import environment as environment_module
from cudawheel.builder.environment import Environment, EnvironmentSpec, make_environment, provide_environment
from cudawheel.errors import InstallError


def spec(*requirements: str, overrides: tuple[str, ...] = ()) -> EnvironmentSpec:
    return EnvironmentSpec(interpreter=Path(sys.executable), requirements=requirements, overrides=overrides)


def provide(wanted: EnvironmentSpec, tmp_path: Path, heard: Heard | None = None) -> Environment:
    return provide_environment(wanted, tmp_path / "cache", tmp_path / "log", heard or Heard())


def ask(environment: Environment, program: str) -> str:
    done = subprocess.run([environment.python, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.usefixtures("links")
def test_an_environment_holds_what_was_asked_for_and_what_that_needs(tmp_path: Path) -> None:
    heard = Heard()
    environment = provide(spec("tiny-tool"), tmp_path, heard)
    assert environment.packages == ("tiny-helper==1.0", "tiny-tool==1.0")
    assert environment.version_of("Tiny.Helper") == "1.0"
    assert environment.version_of("torch") == ""
    assert ask(environment, "import tiny_helper; print(tiny_helper.__version__)") == "1.0"
    assert (environment.scripts / "python").exists()
    assert (environment.site_packages / "tiny_tool" / "__init__.py").is_file()
    assert heard.phases == ["environment"]


def test_the_second_time_it_is_taken_as_it_stands(links: Path, tmp_path: Path) -> None:
    first = provide(spec("tiny-tool"), tmp_path)
    shutil.rmtree(links)
    heard = Heard()
    assert provide(spec("tiny-tool"), tmp_path, heard) == first
    assert heard.phases == []


@pytest.mark.usefixtures("links")
def test_overrides_replace_what_anybody_asks_for(tmp_path: Path) -> None:
    environment = provide(spec("tiny-tool", overrides=("tiny-helper==2.0",)), tmp_path)
    assert environment.version_of("tiny-helper") == "2.0"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (spec("a", "b"), spec("b", "a", "a"), True),
        (spec("a"), spec("a>1"), False),
        (spec("a"), spec("a", overrides=("b<2",)), False),
        (spec("a"), EnvironmentSpec(interpreter=Path("/other"), requirements=("a",)), False),
    ],
)
def test_the_fingerprint_is_what_an_environment_is_made_from(
    one: EnvironmentSpec, other: EnvironmentSpec, same: bool
) -> None:
    assert (one.fingerprint == other.fingerprint) is same


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("marker", [None, "", "{", "[]", "{}"])
def test_an_environment_that_was_interrupted_is_made_anew(marker: str | None, tmp_path: Path) -> None:
    whole = provide(spec("tiny-helper"), tmp_path)
    complete = whole.folder / environment_module._COMPLETE
    complete.unlink()
    if marker is not None:
        complete.write_text(marker)
    (whole.site_packages / "tiny_helper" / "__init__.py").unlink()
    heard = Heard()
    again = provide(spec("tiny-helper"), tmp_path, heard)
    assert heard.phases == ["environment"]
    assert ask(again, "import tiny_helper; print(tiny_helper.__version__)") == "2.0"


@pytest.mark.usefixtures("links")
def test_an_interrupted_installation_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def interrupted(*_words: object, **_named: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(environment_module, "distributions", interrupted)
        with pytest.raises(KeyboardInterrupt):
            provide(spec("tiny-helper"), tmp_path)
    assert provide(spec("tiny-helper"), tmp_path).packages == ("tiny-helper==2.0",)


@pytest.mark.usefixtures("links")
def test_an_environment_whose_python_went_away_is_made_anew(tmp_path: Path) -> None:
    environment = provide(spec("tiny-helper"), tmp_path)
    environment.python.unlink()
    environment.python.symlink_to(tmp_path / "uninstalled" / "python")
    assert ask(provide(spec("tiny-helper"), tmp_path), "print('alive')") == "alive"


@pytest.mark.usefixtures("links")
def test_what_cannot_be_resolved_is_said_with_the_end_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="cannot be installed") as caught:
        provide(spec("tiny-tool", "tiny-helper>=2"), tmp_path)
    assert "tiny-tool" in caught.value.why
    assert "tiny-helper" in caught.value.why
    assert str(tmp_path / "log") in caught.value.remedy
    assert caught.value.exit_code == 13
    assert "tiny-helper>=2" in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("links")
def test_what_is_not_on_the_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        make_environment(spec("no-such-package-anywhere"), tmp_path / "environment", tmp_path / "log")
    assert "no-such-package-anywhere" in caught.value.why
    assert "UV_DEFAULT_INDEX" in caught.value.remedy


def test_an_interpreter_that_does_not_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(InstallError):
        make_environment(
            EnvironmentSpec(interpreter=tmp_path / "python", requirements=()), tmp_path / "new", tmp_path / "log"
        )
