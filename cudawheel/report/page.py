"""The page: one file without anything from elsewhere, for the eye, the keyboard and the screen reader alike."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cudawheel.report import words
from cudawheel.report.plots import Plot, draw
from cudawheel.report.values import Survey
from cudawheel.schedule.plot_scale import count, duration, memory
from cudawheel.verify.page import CLASSES, MARKS, STYLE, answer_of
from cudawheel.verify.verdict import STATUSES

# What is wrong comes first.
_ORDER = ("failed", "known defect", "unproven", "proven")

# Between the parts of a version, a file name or a path, of which numbers are none: `0.1.0+|cu.13.0.|torch.2.11`.
_PARTS = re.compile(r"(?<=[+_/-])(?=[^+_/-])|(?<=\.)(?=[A-Za-z])")


def render(survey: Survey, *, written: datetime) -> str:
    """Write a survey as HTML.

    Args:
        survey: the wheelhouse as it was found.
        written: when.
    """
    script, style = _text("report.js"), _text("report.css")
    plots = _plots(survey)
    sheet = next((plot.style for plot in plots if plot), "")
    return (
        _environment()
        .get_template("report.html")
        .render(
            survey=survey,
            plots=[plot and Markup(words.clean(plot.svg)) for plot in plots],  # noqa: S704 - drawn by us, from figures
            plot_style=Markup(sheet),  # noqa: S704 - as above
            written=written,
            running=version("cudawheel"),
            style=Markup(STYLE + style),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - as above
            script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _plots(survey: Survey) -> list[Plot | None]:
    """Draw the plot of every wheel; None for one without a record."""
    return [
        draw(record.build.story(), title=wheel.file, prefix=f"plot-{number}") if record else None
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
