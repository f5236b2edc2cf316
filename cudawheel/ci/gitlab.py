"""A pipeline for GitLab CI (GitLab's documentation, "CI/CD YAML syntax reference")."""

from __future__ import annotations

from typing import Any

from cudawheel.ci.workflow import REMOTE, SITE, STORE, WHEELHOUSE, Workflow
from cudawheel.data import read_json

PLACE = ".gitlab-ci.yml"
"""Where the file is usually kept."""

_BASE = ".cudawheel"
_KEPT = "1 week"


def gitlab_pipeline(workflow: Workflow) -> dict[str, Any]:
    """Write a pipeline as plain values: a job for each cell, and one that audits and collects all."""
    known = read_json("ci")["gitlab"]
    builds = {
        name: _build(workflow, [_upper(cell.to_matrix()) for cell in cells], known["image"])
        for name, cells in workflow.matrices(known["most_jobs"])
    }
    document: dict[str, Any] = {"stages": ["build", "audit"]}
    if workflow.remote:
        document["variables"] = {REMOTE: workflow.remote}
    first = workflow.cells[0]
    return {
        **document,
        _BASE: {"before_script": [workflow.setup]},
        **builds,
        "audit": {
            "extends": _BASE,
            "stage": "audit",
            "image": known["image"].format(python=first.python),
            "tags": [first.runner],
            # What was built is collected even where another cell failed, which fails the whole all the same.
            "when": "always",
            "script": [workflow.audit, workflow.publish],
            "artifacts": {"paths": [SITE], "expire_in": _KEPT},
        },
    }


def _build(workflow: Workflow, matrix: list[dict[str, str]], image: str) -> dict[str, Any]:
    script = [workflow.build("$RECIPE", "$ONLY"), workflow.audit]
    if workflow.shares:
        script.append(f'if [ -z "$CI_MERGE_REQUEST_ID" ]; then {workflow.share}; fi')
    return {
        "extends": _BASE,
        "stage": "build",
        "image": image.format(python="$PYTHON"),
        "tags": ["$RUNNER"],
        "parallel": {"matrix": matrix},
        "script": script,
        "artifacts": {"paths": [STORE, WHEELHOUSE], "expire_in": _KEPT},
    }


def _upper(entry: dict[str, str]) -> dict[str, str]:
    """Give an entry under the names of shell variables, which is what it becomes."""
    return {name.upper(): value for name, value in entry.items()}
