"""A workflow for GitHub Actions (GitHub's documentation, "Workflow syntax for GitHub Actions")."""

from __future__ import annotations

from typing import Any

from cudawheel.ci.workflow import REMOTE, SITE, STORE, WHEELHOUSE, Workflow
from cudawheel.data import read_json

PLACE = ".github/workflows/wheels.yml"
"""Where the file is usually kept."""

_MINUTES = 350  # a job of GitHub's own runners is ended after 360; ours says so before


def github_workflow(workflow: Workflow) -> dict[str, Any]:
    """Write a workflow as plain values: a job for each cell, and one that audits and collects all."""
    known = read_json("ci")["github"]
    actions: dict[str, str] = known["actions"]
    builds = {
        name: _build(workflow, [cell.to_matrix() for cell in cells], actions)
        for name, cells in workflow.matrices(known["most_jobs"])
    }
    paths = [*workflow.recipes, PLACE]
    document: dict[str, Any] = {
        "name": "wheels",
        "on": {"workflow_dispatch": {}, "push": {"paths": paths}, "pull_request": {"paths": paths}},
        "permissions": {"contents": "read"},
        "concurrency": {"group": "wheels-${{ github.ref }}", "cancel-in-progress": True},
    }
    if workflow.remote:
        document["env"] = {REMOTE: workflow.remote}
    document["jobs"] = {**builds, "audit": _audit(workflow, list(builds), actions)}
    return document


def _build(workflow: Workflow, include: list[dict[str, str]], actions: dict[str, str]) -> dict[str, Any]:
    # Values of a matrix reach the shell as variables: nothing that they hold can be taken for a command.
    environment = {"RECIPE": "${{ matrix.recipe }}", "ONLY": "${{ matrix.only }}"}
    steps: list[dict[str, Any]] = [
        _checkout(actions),
        {"uses": actions["setup-python"], "with": {"python-version": "${{ matrix.python }}"}},
        {"name": "Install cudawheel", "run": workflow.setup},
        {"name": "Build", "env": environment, "run": workflow.build("$RECIPE", "$ONLY")},
        {"name": "Audit", "run": workflow.audit},
    ]
    if workflow.shares:
        steps.append({"name": "Share", "if": "${{ github.event_name != 'pull_request' }}", "run": workflow.share})
    steps.append(
        {
            "uses": actions["upload-artifact"],
            "with": {
                "name": "cell-${{ matrix.package }}-${{ matrix.cell }}",
                "path": f"{STORE}\n{WHEELHOUSE}\n",
                "if-no-files-found": "error",
            },
        }
    )
    return {
        "name": "${{ matrix.package }} ${{ matrix.cell }}",
        "runs-on": "${{ matrix.runner }}",
        "timeout-minutes": _MINUTES,
        "strategy": {"fail-fast": False, "matrix": {"include": include}},
        "steps": steps,
    }


def _audit(workflow: Workflow, needs: list[str], actions: dict[str, str]) -> dict[str, Any]:
    checkout = [_checkout(actions)] if workflow.needs_checkout else []
    return {
        "needs": needs,
        # What was built is collected even where another cell failed, which fails the whole all the same.
        "if": "${{ !cancelled() }}",
        "runs-on": workflow.cells[0].runner,
        "steps": [
            *checkout,
            {"uses": actions["setup-python"], "with": {"python-version": workflow.cells[0].python}},
            {"name": "Install cudawheel", "run": workflow.setup},
            {
                "uses": actions["download-artifact"],
                "with": {"pattern": "cell-*", "merge-multiple": True},
            },
            {"name": "Audit", "run": workflow.audit},
            {"name": "Index", "run": workflow.publish},
            {
                "uses": actions["upload-artifact"],
                "with": {"name": "index", "path": SITE, "if-no-files-found": "error"},
            },
        ],
    }


def _checkout(actions: dict[str, str]) -> dict[str, Any]:
    return {"uses": actions["checkout"], "with": {"persist-credentials": False}}
