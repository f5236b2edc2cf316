"""Generated workflows: valid by the published schemas, the plan as their matrix, and the same bytes each time."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from command_line import run_main
from ruamel.yaml import YAML
from small_packages import path_source, write_recipe

from cudawheel.builder.costs import COSTS
from cudawheel.ci.cells import CiCell
from cudawheel.ci.github import github_workflow
from cudawheel.ci.gitlab import gitlab_pipeline
from cudawheel.ci.runners import runners_of, smallest_for
from cudawheel.ci.text import to_yaml
from cudawheel.ci.workflow import Workflow
from cudawheel.errors import MemoryBudgetError
from cudawheel.schedule.history import Compilation, CostKey, History
from cudawheel.schedule.limits import GIB

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
SERVICES = list(SCHEMAS)

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command line in this process, in the folder of a repository; gives exit code, output and errors."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call_(*words: str) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, *words)

    return call_


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Two Pythons and two torches, one more torch that is not known, and 4.5 GiB for a compiler."""
    path = write_recipe(tmp_path / "recipes", path_source("here"))
    head, _, tail = path.read_text().partition("[matrix]")
    rest = tail.partition("torch = ")[2].partition("\n")[2]
    matrix = 'python = ["3.12", "3.11"]\ntorch = ["2.11", "1.0", "2.13"]\n'
    path.write_text(f"{head}[matrix]\n{matrix}{rest}".replace("memory-per-job = 0.1", "memory-per-job = 4.5"))
    return "recipes/tiny.toml"


def validate(service: str, text: str, tmp_path: Path) -> tuple[int, str]:
    """Check a workflow by the schema that check-jsonschema brings along, without a network; exit code and output."""
    # Every process that runs tests imports all of them, and this takes two seconds to import.
    from check_jsonschema import main as check_jsonschema  # noqa: PLC0415

    file = tmp_path / "workflow.yml"
    file.write_text(text)
    words = ["--builtin-schema", SCHEMAS[service], str(file)]
    if service == "gitlab":
        words += ["--data-transform", "gitlab-ci"]
    done = CliRunner().invoke(check_jsonschema, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def read(text: str) -> Any:
    return YAML(typ="safe").load(text)


def matrix_of(service: str, document: Any, job: str = "build") -> list[dict[str, str]]:
    build = document[job] if service == "gitlab" else document["jobs"][job]
    entries = build["parallel"]["matrix"] if service == "gitlab" else build["strategy"]["matrix"]["include"]
    return [{name.lower(): value for name, value in entry.items()} for entry in entries]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("remote", ["", "s3://bucket/wheels", "https://wheels.example.org/store"])
def test_a_workflow_is_valid_and_its_matrix_is_the_plan(
    service: str, remote: str, recipe: str, call: Call, tmp_path: Path
) -> None:
    words = ["--install", "cudawheel==1.2", *(["--remote-cache", remote] if remote else [])]
    code, text, err = call("ci", service, recipe, *words)
    assert (code, err) == (0, "")
    assert validate(service, text, tmp_path) == (0, "ok -- validation done\n")
    planned = call("plan", recipe, "--identifiers")[1].split()
    entries = matrix_of(service, read(text))
    assert [entry["cell"] for entry in entries] == planned
    assert [entry["python"] for entry in entries] == ["3.12", "3.11"] * 2
    assert {entry["recipe"] for entry in entries} == {recipe}
    assert ("CUDAWHEEL_REMOTE_CACHE" in text) == bool(remote)
    assert ("cache push" in text) == remote.startswith("s3")


@pytest.mark.parametrize("service", SERVICES)
def test_the_schemas_refuse_what_is_wrong(service: str, recipe: str, call: Call, tmp_path: Path) -> None:
    text = call("ci", service, recipe)[1]
    broken = text.replace("runs-on:", "run-on:").replace("stage: audit", "stage: [1]")
    assert broken != text
    assert validate(service, broken, tmp_path)[0] == 1


@pytest.mark.parametrize("service", SERVICES)
def test_the_command_in_the_first_line_gives_the_same_bytes_again(
    service: str, recipe: str, call: Call, tmp_path: Path
) -> None:
    words = ("--only", "*-torch2.1[13]-*", "--skip", "cp311-torch2.11-*", "--runner", "big one=64G", "-o", "out/w.yml")
    assert call("ci", service, recipe, *words)[0] == 0
    text = (tmp_path / "out" / "w.yml").read_text()
    made_by = text.partition("`")[2].partition("`")[0]
    (tmp_path / "out" / "w.yml").unlink()
    assert call(*shlex.split(made_by)[1:])[0] == 0
    assert (tmp_path / "out" / "w.yml").read_text() == text


@pytest.mark.parametrize("option", ["-o", "--out", "--output"])
def test_the_option_for_the_file_has_one_name_in_what_is_written(option: str, recipe: str, call: Call) -> None:
    assert call("ci", "github", recipe, option, "w.yml")[0] == 0
    assert " --output w.yml`" in Path("w.yml").read_text().splitlines()[0]


def test_a_recipe_that_is_not_in_the_repository_is_told_from_a_folder_that_is_none(
    recipe: str, call: Call, tmp_path: Path, tmp_path_factory: Any
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "elsewhere.toml"
    elsewhere.write_text((tmp_path / recipe).read_text())
    said = call("ci", "github", str(elsewhere))[2]
    assert f"does not lie in the folder {tmp_path}" in said
    (tmp_path / ".git").mkdir()
    said = call("ci", "github", str(elsewhere))[2]
    assert f"does not lie in the repository {tmp_path}" in said
    assert "not the top" not in said


@pytest.mark.parametrize("service", SERVICES)
def test_every_wheel_passes_the_audit_before_it_is_shared_and_all_together_before_they_are_published(
    service: str, recipe: str, call: Call
) -> None:
    text = call("ci", service, recipe, "--remote-cache", "s3://bucket/wheels")[1]
    build, _, audit = text.partition("\naudit:" if service == "gitlab" else "\n  audit:")
    order = [build.index(word) for word in ("cudawheel build", "cudawheel cache check", "cudawheel cache push")]
    assert order == sorted(order)
    assert audit.index("cudawheel cache check") < audit.index("cudawheel index export")
    assert "cache push" not in audit


def test_a_cell_whose_wheel_serves_others_is_one_job(recipe: str, call: Call, tmp_path: Path) -> None:
    path = tmp_path / recipe
    path.write_text(path.read_text().replace("[build]\n", '[build]\nabi = "torch-stable >= 2.11"\n'))
    (entry,) = matrix_of("github", read(call("ci", "github", recipe)[1]))
    planned = call("plan", recipe, "--identifiers")[1].split()
    assert entry["cell"] == planned[0]
    assert sorted(entry["only"].split()) == sorted(planned)


def test_a_runner_is_chosen_by_the_forecast(recipe: str, call: Call, tmp_path: Path) -> None:
    def runners() -> set[str]:
        return {entry["runner"] for entry in matrix_of("gitlab", read(call("ci", "gitlab", recipe)[1]))}

    assert runners() == {"saas-linux-small-amd64"}
    key = CostKey(package="tiny-ext", fingerprint="f", cuda="13.0", torch="2.11", memory=1)
    done = Compilation(source="a.cu", kind="device", passes=2, threads=1, peak=20 * GIB, cpu_seconds=60.0, seconds=60.0)
    History(tmp_path / "cache" / COSTS).add(key, [done])
    assert runners() == {"saas-linux-large-amd64"}
    code, out, err = call("ci", "github", recipe)
    assert (code, out) == (MemoryBudgetError.exit_code, "")
    assert "ubuntu-24.04 has 16 GiB" in err
    assert "--runner LABEL=64G" in err
    (tmp_path / "w").mkdir()
    code, out, _err = call("ci", "github", recipe, "--runner", "big=64G")
    assert {entry["runner"] for entry in matrix_of("github", read(out))} == {"big"}


def test_the_reserve_of_a_runner_is_not_given_away() -> None:
    (runner,) = runners_of("github", "x86_64")
    assert smallest_for("a cell", runner.room, [runner]) is runner
    with pytest.raises(MemoryBudgetError):
        smallest_for("a cell", runner.room + 1, [runner])
    assert runner.room < runner.memory
    with pytest.raises(MemoryBudgetError, match="a cell") as caught:
        smallest_for("a cell", 1, runners_of("github", "ppc64le"))
    assert "none for its processor" in caught.value.why


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--only", "cp39-*"], 40, "matches no cell"),
        (["--runner", "big"], 2, "--runner big=64G"),
        (["--runner", "big=much"], 2, "no amount of memory"),
        (["--remote-cache", "https://me:secret@example.org/x"], 2, "holds credentials"),
        (["--torch", "1.0"], 5, "torch 1.0 is not known"),
        (["recipes/other.toml"], 3, "recipes contradict each other"),
        (["../elsewhere.toml"], 2, "is not the top of a git repository"),
    ],
)
def test_what_cannot_be_a_workflow_is_refused(  # noqa: PLR0917
    words: list[str], code: int, said: str, recipe: str, call: Call, tmp_path: Path, tmp_path_factory: Any
) -> None:
    (tmp_path / "recipes" / "other.toml").write_text((tmp_path / recipe).read_text())
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "elsewhere.toml"
    elsewhere.write_text((tmp_path / recipe).read_text().replace("tiny-ext", "other-ext"))
    words = [str(elsewhere) if word.startswith("..") else word for word in words]
    done = call("ci", "github", recipe, *words)
    assert (done[0], done[1]) == (code, "")
    assert said in done[2]
    assert "secret@" not in done[2]


def many(number: int) -> Workflow:
    cells = tuple(
        CiCell(recipe="r.toml", package="p", identifier=f"c{n}", python="3.12", runner="x") for n in range(number)
    )
    return Workflow(cells=cells, install="cudawheel")


@pytest.mark.parametrize(("number", "github", "gitlab"), [(200, 1, 1), (201, 1, 2), (256, 1, 2), (257, 2, 2)])
def test_more_cells_than_a_matrix_may_have_are_several_jobs(
    number: int, github: int, gitlab: int, tmp_path: Path
) -> None:
    made = {"github": github_workflow(many(number)), "gitlab": gitlab_pipeline(many(number))}
    for service, expected in (("github", github), ("gitlab", gitlab)):
        document = made[service]
        names = [name for name in (document["jobs"] if service == "github" else document) if name.startswith("build")]
        assert len(names) == expected
        cells = [entry["cell"] for name in names for entry in matrix_of(service, document, name)]
        assert cells == [f"c{n}" for n in range(number)]
        assert validate(service, to_yaml(document, "x"), tmp_path)[0] == 0
    assert made["github"]["jobs"]["audit"]["needs"] == [n for n in made["github"]["jobs"] if n.startswith("build")]


def test_actions_are_pinned_by_commit_and_say_their_release() -> None:
    text = to_yaml(github_workflow(many(1)), "x")
    used = [line.split("uses: ")[1] for line in text.splitlines() if "uses: " in line]
    assert used
    for line in used:
        action, _, release = line.partition(" # ")
        assert len(action.partition("@")[2]) == 40
        assert release.startswith("v")


def test_values_reach_the_shell_as_variables_alone() -> None:
    hostile = CiCell(recipe='"; rm -rf / #', package="p", identifier="$(id)", python="3.12", runner="x")
    document = github_workflow(Workflow(cells=(hostile,), install="a b; c"))
    runs = [step["run"] for step in document["jobs"]["build"]["steps"] if "run" in step]
    assert not [run for run in runs if "rm -rf" in run or "$(id)" in run or "matrix." in run]
    assert "python -m pip install 'a b; c'" in runs
