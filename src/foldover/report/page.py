"""One self-contained page: inline style, inline drawings, no script, nothing loaded from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from foldover.report import chart_conditions, chart_curves, chart_effects, numbers
from foldover.report.answer import shared_training
from foldover.report.chart_intervals import intervals
from foldover.report.formats import cell
from foldover.report.reading import (
    DECISION_WORDS,
    STATUSES,
    Row,
    budgets_of,
    half_width,
    is_main,
    main_effects,
    package_names,
    terms_by_size,
)

if TYPE_CHECKING:
    from jinja2 import Template

STATUS_WORDS = {
    "finished": "finished",
    "failed": "failed",
    "diverged": "diverged",
    "timeout": "timed out",
    "over_cap": "over the cap",
    "cancelled": "cancelled",
    "lost": "lost",
}


def render_html(document: Mapping[str, Any]) -> str:
    """The text of `report.html`, made of the document of `build_report` alone; the same bytes each time.

    Every word from the study is escaped. Each printed number carries its full value in a `data` element.
    """
    template, style = _page()
    return template.render(doc=document, style=style, **_views(document)).strip() + "\n"


@cache
def _page() -> tuple[Template, Markup]:
    """The compiled template and the style sheet; compiling takes longer than rendering."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # late: only a report needs it

    environment = Environment(
        loader=PackageLoader("foldover.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=_number, signed=_signed)
    environment.filters.update(
        coded=numbers.coded,
        duration=numbers.duration,
        listed=numbers.listed,
        percent=numbers.percent,
        probability=numbers.probability,
        setting=numbers.setting,
        reference=chart_conditions.reference_name,
    )
    style = Markup(environment.get_template("report.css").render())  # noqa: S704 (our own file)
    return environment.get_template("report.html"), style


def _views(document: Row) -> dict[str, object]:
    """What the template shows that is not in the document as such: pictures, orders, digits."""
    conditions = document["conditions"]
    packages = package_names(conditions)
    return {
        "decision_words": DECISION_WORDS,
        "status_words": STATUS_WORDS,
        "role_words": chart_conditions.ROLE_WORDS,
        "role_colour": chart_conditions.role_colour,
        "sections": [_section(section) for section in document["sections"]],
        "roles": chart_conditions.roles_shown(document),
        "budget_colours": chart_effects.budget_colours(document),
        "is_single_seeded": any(effect["descriptive"] for effect in main_effects(document)),
        "decimals": _decimals(document),
        "main": _effect_table(main_effects(document)),
        "others": _effect_table([effect for effect in document["effects"] if not is_main(effect)]),
        "forest": _forest(document, main_effects(document)),
        "forest_others": _forest(document, [e for e in document["effects"] if not is_main(e)]),
        "relaxation": chart_effects.relaxation(document, main_effects(document)),
        "yardsticks": chart_conditions.yardsticks(document),
        "orderings": [(name, chart_conditions.ordering(document, name)) for name in packages],
        "condition_tables": [(name, [row for row in conditions if row["package"] == name]) for name in packages],
        "curves": _curves(document),
        "has_broken_curves": any(
            run["status"] not in ("finished", "lost") and run["run_id"] in document["curves"]
            for run in document["runs"]
        ),
        "statuses": _statuses(document),
        "troubled": [run for run in document["runs"] if run["status"] != "finished" or run["exclusion"]],
        "derived": _derived_names(document),
        "has_blocks": bool(document["design"]) and any(row["block"] for row in document["design"]["matrix"]),
        "unit": document["study"]["unit"] or document["study"]["response"],
        "shared_training": shared_training(document),
        "disputed": _disputed(document["provenance"]),
    }


def _section(section: Row) -> dict[str, object]:
    """A section with its pictures drawn and its cells as words."""
    tables = [
        {
            **table,
            "cells": [
                [_cell(value, column, table["decimals"]) for value, column in zip(row, table["columns"], strict=True)]
                for row in table["rows"]
            ],
        }
        for table in section["tables"]
    ]
    pictures = [(picture["title"], intervals(picture)) for picture in section["pictures"] if picture["marks"]]
    return {**section, "tables": tables, "pictures": pictures}


def _cell(value: object, column: Row, decimals: int) -> Markup:
    shown = cell(value, column, decimals)
    return _data(value, shown) if isinstance(value, float) else escape(shown)


def _number(value: float | None, decimals: int = numbers.USUAL_DECIMALS) -> Markup:
    return _data(value, numbers.plain(value, decimals))


def _signed(value: float | None, decimals: int = numbers.USUAL_DECIMALS) -> Markup:
    return _data(value, numbers.signed(value, decimals))


def _data(value: float | None, shown: str) -> Markup:
    if value is None:
        return escape(shown)
    return Markup('<data value="{}">{}</data>').format(json.dumps(value), shown)


def _decimals(document: Row) -> dict[str, int]:
    return {
        "effects": numbers.decimals_for([half_width(effect) for effect in document["effects"]]),
        "conditions": numbers.decimals_for([half_width(row) for row in document["conditions"]]),
    }


def _effect_table(effects: list[Row]) -> list[Row]:
    """Effects by term, the largest first, each term's budgets in the order of the document."""
    order = terms_by_size(effects)
    return sorted(effects, key=lambda effect: order.index(effect["term"]))


def _forest(document: Row, effects: list[Row]) -> Markup | None:
    return chart_effects.forest(document, effects) if effects else None


def _curves(document: Row) -> list[tuple[str, Markup, dict[str, Row]]]:
    drawn = []
    for budget in budgets_of(document["packages"]):
        picture = chart_curves.training_curves(document, budget)
        if picture is not None:
            drawn.append((budget, picture, chart_curves.named_runs(document, budget)))
    return drawn


def _statuses(document: Row) -> list[str]:
    """The columns of the run accounting: what can be zero everywhere is left out, but never `failed`."""
    always = ("finished", "failed", "diverged", "timeout")
    return [status for status in STATUSES if status in always or document["totals"][status]]


def _derived_names(document: Row) -> list[str]:
    """The derived quantities worth a column."""
    wanted = ("width", "num_params")
    matrix = document["design"]["matrix"] if document["design"] else []
    return [name for name in wanted if any(name in row["derived"] for row in matrix)]


def _disputed(provenance: Row) -> list[str]:
    """Digests and versions on which the runs do not agree."""
    named = {**provenance["digests"], **provenance["versions"]}
    return [name for name in sorted(named) if len(named[name]) > 1]
