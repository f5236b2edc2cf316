"""The page: one file without anything from elsewhere, for the eye, the keyboard and the screen reader alike."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cudawheel.model.counting import count
from cudawheel.report import words
from cudawheel.report.plots import Plot, draw
from cudawheel.report.values import Evidence, Survey
from cudawheel.schedule.plot_scale import duration, memory
from cudawheel.verify.page import CLASSES, MARKS, STYLE, answer_of
from cudawheel.verify.verdict import STATUSES

MOST_ILLUSTRATED = 100
"""So many wheels are shown with plot and pictures, of which each may have some 200 KiB."""

# What is wrong comes first.
_ORDER = ("failed", "known defect", "unproven", "proven")

# Between the parts of a version, a file name or a path, of which numbers are none: `0.1.0+|cu.13.0.|torch.2.11`.
_PARTS = re.compile(r"(?<=[+/-])(?=[^+/-])|(?<=[._])(?=[A-Za-z])")


def render(survey: Survey, *, written: datetime) -> str:
    """Write a survey as HTML.

    Of a large wheelhouse the 100 wheels that were built last are shown with plot and pictures, and all with the rest.

    Args:
        survey: the wheelhouse as it was found.
        written: when.
    """
    script, style = _text("report.js"), _text("report.css")
    illustrated = _illustrated(survey)
    plots = _plots(survey, illustrated)
    sheet = next((plot.style for plot in plots if plot), "")
    return (
        _environment()
        .get_template("report.html")
        .render(
            survey=survey,
            plots=[plot and Markup(words.clean(plot.svg)) for plot in plots],  # noqa: S704 - drawn by us, from figures
            plot_style=Markup(sheet),  # noqa: S704 - as above
            illustrated=illustrated,
            written=written,
            running=version("cudawheel"),
            style=Markup(STYLE + style),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - as above
            script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _illustrated(survey: Survey) -> frozenset[str]:
    """Give the wheels that are shown with plot and pictures, by their paths: the ones built last."""
    dated = sorted(survey.wheels, key=lambda wheel: _built_at(wheel.evidence), reverse=True)
    return frozenset(wheel.path for wheel in dated[:MOST_ILLUSTRATED])


def _built_at(evidence: Evidence) -> datetime:
    return evidence.record.built_at if evidence.record else datetime.min.replace(tzinfo=timezone.utc)


def _plots(survey: Survey, illustrated: Collection[str]) -> list[Plot | None]:
    """Draw the plots of wheels; None for one without a record, and for one that is shown without."""
    return [
        draw(record.build.story(), title=wheel.file, prefix=f"plot-{number}")
        if record and wheel.path in illustrated
        else None
        for number, wheel in enumerate(survey.wheels, start=1)
        for record in (wheel.evidence.record,)
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cudawheel.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals |= {
        "words": words,
        "answer_of": answer_of,
        "classes": CLASSES,
        "marks": MARKS,
        "statuses": STATUSES,
    }
    environment.filters |= {
        "memory": memory,
        "duration": duration,
        "size": words.size,
        "moment": words.moment,
        "worst_first": lambda findings: sorted(findings, key=lambda finding: _ORDER.index(finding.status)),
        "counted": count,
        "breakable": _breakable,
    }
    return environment


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template shows
    """Let nothing onto the page that cannot be shown; markup is our own."""
    return words.clean(value) if type(value) is str else value


def _breakable(text: str) -> Markup:
    """Let a name or version be broken where its parts end."""
    return Markup("<wbr>").join(_PARTS.split(words.clean(text)))


def _text(name: str) -> str:
    return files("cudawheel.report").joinpath("templates", name).read_text(encoding="utf-8")
