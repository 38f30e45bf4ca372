"""The page: complete in itself, escaped, honest about failures and single seeds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from foldover.core import Values
from foldover.report import Document, ReportInputs, build_report, render_html

HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }}"
VOID = {"meta", "br", "link", "img", "hr", "input"}


class Outline(HTMLParser):
    """Collects tags, attributes, text and unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    return parser


@pytest.fixture(scope="module")
def page(document: Document) -> str:
    return render_html(document)


@pytest.fixture(scope="module")
def hostile_page(inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]) -> str:
    """Every word that a user or a failing library writes is hostile."""
    assert inputs.recommendation is not None
    study = replace(inputs.study, name=HOSTILE, question=HOSTILE, constants=Values(corpus=HOSTILE))
    conditions = tuple(replace(c, condition=HOSTILE + c.condition) for c in inputs.conditions)
    records = tuple(
        replace(
            r,
            spec=replace(r.spec, condition=HOSTILE + r.spec.condition),
            exclusion=HOSTILE if r.exclusion else "",
            outcome=replace(
                r.outcome,
                machine=Values(host=HOSTILE, device=HOSTILE),
                failure=r.outcome.failure and replace(r.outcome.failure, message=HOSTILE, trace=HOSTILE),
            ),
        )
        for r in inputs.records
    )
    packages = tuple(
        replace(p, runs=tuple(r.spec.run_id for r in records if r.spec.package == p.name)) for p in inputs.packages
    )
    said = replace(inputs.recommendation, supports=(HOSTILE,), does_not_support=(HOSTILE,), comparisons=(HOSTILE,))
    verdicts = tuple(replace(v, because=HOSTILE, rule=HOSTILE) for v in inputs.verdicts)
    effects = tuple(replace(e, notes=(HOSTILE,), aliased_with=(HOSTILE,)) for e in inputs.effects)
    return render_html(
        build_report(
            make_inputs(
                study=study,
                conditions=conditions,
                records=records,
                packages=packages,
                recommendation=said,
                verdicts=verdicts,
                effects=effects,
                references=Values({HOSTILE: 2.5, "order_0": 4.3}),
            )
        )
    )


def test_page_is_well_formed(page: str) -> None:
    found = outline(page)
    assert found.unbalanced == []
    assert found.open == []


def test_hostile_words_stay_words(hostile_page: str) -> None:
    found = outline(hostile_page)
    assert "<script" not in hostile_page
    assert "script" not in found.tags
    assert found.unbalanced == []
    assert "{{ 7 * 7 }}" in hostile_page


def test_hostile_words_break_no_attribute(hostile_page: str) -> None:
    names = {name for _, name, _ in outline(hostile_page).attributes}
    assert not [name for name in names if name.startswith("on") or not re.fullmatch(r"[a-z][A-Za-z0-9-]*", name)]


def test_page_loads_nothing(page: str) -> None:
    found = outline(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(found.tags)
    assert not [value for _, name, value in found.attributes if name in ("src", "srcset", "xlink:href", "poster")]
    assert all(value.startswith("#") for _, name, value in found.attributes if name == "href" and value)


def test_page_names_no_address(page: str) -> None:
    assert not re.search(r"https?:|url\(|@import|@font-face", page)


def test_links_of_the_page_lead_somewhere(page: str) -> None:
    found = outline(page)
    targets = {value for _, name, value in found.attributes if name == "id"}
    links = {value[1:] for tag, name, value in found.attributes if (tag, name) == ("a", "href") and value}
    assert links
    assert links <= targets


def test_drawings_are_valid_xml(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) > 8
    for drawing in drawings:
        ElementTree.fromstring(drawing)  # noqa: S314 (our own text)


def test_drawings_have_finite_coordinates(page: str) -> None:
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page)


def test_every_printed_number_is_one_of_the_document(page: str, document: Document) -> None:
    printed = {float(value) for value in re.findall(r'<data value="([^"]+)">', page)}
    assert printed
    assert printed <= set(_numbers(document))


def test_printed_digits_round_the_full_value(page: str) -> None:
    for value, shown in re.findall(r'<data value="([^"]+)">([^<]+)</data>', page):
        text = shown.replace("\u2212", "-").replace(",", "")
        decimals = len(text.partition(".")[2])
        assert float(text) == pytest.approx(round(float(value), decimals), abs=0.6 * 10.0**-decimals)


def test_every_effect_and_mean_is_printed(page: str, document: Document) -> None:
    printed = {float(value) for value in re.findall(r'<data value="([^"]+)">', page)}
    assert {effect["estimate"] for effect in document["effects"]} <= printed
    assert {row["mean"] for row in document["conditions"]} <= printed


def test_failures_are_shown_as_status_with_their_reason(page: str) -> None:
    assert '<span class="tag bad">diverged</span>' in page
    assert "the loss is not finite or above its limit at step 12" in page
    assert '<span class="tag bad">timed out</span>' in page
    assert '<span class="tag bad">lost</span>' in page


def test_excluded_run_is_shown_with_its_reason(page: str) -> None:
    assert '<span class="tag bad">excluded</span>' in page
    assert "another program held both cores" in page


def test_headline_names_n_interval_and_recipe(page: str, document: Document) -> None:
    headline = document["answer"]["headline"]
    assert re.search(r"95% interval [0-9.]+ to [0-9.]+, n = 3", headline)
    assert "optimizer.total_batch 2,048" in headline
    assert headline in page


def test_single_seed_effects_are_hollow_and_called_descriptive(studies: dict[str, ReportInputs]) -> None:
    page = render_html(build_report(studies["single_seed"]))
    forest = re.search(r"<svg[^>]*Effects on.*?</svg>", page, flags=re.DOTALL)
    assert forest is not None
    assert forest.group().count('class="hollow"') == 10
    assert 'class="mark"' not in forest.group()
    assert '<span class="tag">descriptive</span>' in page
    assert "tag yes" not in page


def test_single_seed_effects_are_never_joined(studies: dict[str, ReportInputs]) -> None:
    assert 'class="joined"' not in render_html(build_report(studies["single_seed"]))


def test_panels_of_factors_that_share_a_lever_name_its_levels(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    first, second, *others = inputs.study.factors
    shared = replace(second, lever=first.lever, low=2, high=6)
    page = render_html(build_report(make_inputs(study=replace(inputs.study, factors=(first, shared, *others)))))
    panels = page[page.index("How effects change with the budget") : page.index("Table of main effects")]
    for words in ("depth 2 \u2192 4", "depth 2 \u2192 6", others[0].lever):
        assert f">{words}</text>" in panels
    assert f">{first.lever}</text>" not in panels


def test_tested_effects_of_one_regime_are_joined(page: str) -> None:
    assert page.count('class="joined"') == 5


def test_effects_of_different_seeds_are_not_joined(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    first, *rest = inputs.packages
    page = render_html(build_report(make_inputs(packages=(replace(first, seeds=(7, 8, 9)), *rest))))
    assert 'class="joined"' not in page


def test_effects_pooled_over_packages_are_shown(inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]) -> None:
    pooled = replace(inputs.effects[0], package="screen @ 1 s + screen @ 2 s", budget="1 s + 2 s")
    page = render_html(build_report(make_inputs(effects=(pooled, *inputs.effects))))
    assert ">screen @ 1 s + screen @ 2 s</text>" in page or ">1 s + 2 s</text>" in page


def test_effects_and_means_of_zero_are_drawn(inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]) -> None:
    effects = tuple(replace(e, estimate=0.0, low=0.0, high=0.0) for e in inputs.effects)
    conditions = tuple(replace(c, mean=0.0, low=0.0, high=0.0, sd=0.0) for c in inputs.conditions)
    page = render_html(build_report(make_inputs(effects=effects, conditions=conditions, references=Values())))
    assert "<svg" in page


def test_interval_far_beyond_the_estimates_is_cut_with_an_arrow(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    wide = replace(inputs.effects[0], low=-50.0, high=50.0)
    plain = render_html(build_report(inputs))
    page = render_html(build_report(make_inputs(effects=(wide, *inputs.effects[1:]))))
    assert page.count('<path d="M') > plain.count('<path d="M')


def test_reference_lines_are_drawn_and_named(page: str) -> None:
    for order in (0, 2, 6):
        assert f">order-{order} byte model</text>" in page


def test_without_references_there_is_no_strip(make_inputs: Callable[..., ReportInputs]) -> None:
    page = render_html(build_report(make_inputs(references=Values())))
    assert "byte model" not in page


def test_best_worst_and_broken_curves_stand_out(page: str) -> None:
    assert page.count('class="curve best"') == 2
    assert page.count('class="curve worst"') == 2
    assert 'class="curve broken"' in page


def test_a_diverging_loss_does_not_flatten_the_other_curves(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    broken = next(r.spec.run_id for r in inputs.records if r.outcome.status == "diverged")
    curve = {**inputs.curves[broken], "train_loss": [1e6] * len(inputs.curves[broken]["train_loss"])}
    page = render_html(build_report(make_inputs(curves={**inputs.curves, broken: curve})))
    assert "1,000,000" not in page


def test_page_without_curves_has_no_training_section(make_inputs: Callable[..., ReportInputs]) -> None:
    page = render_html(build_report(make_inputs(curves={})))
    assert 'id="training"' not in page
    assert "#training" not in page


def test_page_has_light_dark_and_print_styles(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@pytest.mark.parametrize("name", ["whole", "single_seed", "two_seeds", "all_failed", "nothing_yet"])
def test_a_study_at_any_stage_renders(name: str, studies: dict[str, ReportInputs]) -> None:
    found = outline(render_html(build_report(studies[name])))
    assert found.unbalanced == []
    assert "h1" in found.tags


def test_a_study_whose_runs_all_failed_concludes_nothing(studies: dict[str, ReportInputs]) -> None:
    document = build_report(studies["all_failed"])
    page = render_html(document)
    assert document["answer"]["status"] == "no_result"
    assert "None of 32 runs gave a result that counts" in page
    assert "<data" not in page


def _numbers(value: object) -> list[float]:
    if isinstance(value, bool):
        return []
    if isinstance(value, int | float):
        return [float(value)]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [number for item in inside for number in _numbers(item)]
