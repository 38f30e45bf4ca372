"""What a table is fitted with: its design and aliases, the model in canonical terms, the family, the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.designs import alias_sets, defining_relation, resolution
from foldover.lab.coding import AnalysisRequest, Coded
from foldover.lab.recognise import pairs_of, recognise
from foldover.lab.table_checks import fits
from foldover.report import Caution, DesignFacts
from foldover.stats import Table, parse_term, term_text

MODELS = ("auto", "main", "main+2fi", "paper", "second-order")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """What each budget is fitted with. names: column to letter; aliases: of the design, by term."""

    request: AnalysisRequest
    block: str | None
    terms: tuple[str, ...]
    method: str
    family: tuple[str, ...] | None
    aliases: Mapping[str, tuple[str, ...]]
    corners_only: bool


def design_facts(
    coded: Coded, request: AnalysisRequest
) -> tuple[DesignFacts | None, Mapping[str, tuple[str, ...]], list[Caution]]:
    """The design given or recognised in the runs that were planned (lost ones included), and its aliases by term."""
    table = coded.table
    if request.design is not None:
        design = request.design
        facts = DesignFacts(
            source="given",
            kind=design.kind,
            generators=design.generators,
            words=design.words,
            resolution=design.resolution,
        )
        return facts, dict(design.aliases), []
    planned = [*map(tuple, table.levels.tolist()), *(out.levels for out in table.left_out)]
    found = recognise(planned, table.letters)
    if found is None:
        return None, {}, []
    words = defining_relation(found.generators) if found.generators else ()
    facts = DesignFacts(
        source="recognised",
        kind="fraction" if found.generators else "full",
        generators=found.generators,
        words=words,
        resolution=resolution(words),
    )
    aliases = dict(alias_sets(table.letters, found.generators))
    cautions = []
    if facts.resolution == 3:
        said = ", ".join(
            " = ".join([letter, *(a for a in aliases[letter] if len(a.lstrip("-")) == 2)]) for letter in table.letters
        )
        cautions.append(
            Caution(
                kind="aliased",
                message=f"main effects are aliased with two-factor interactions (resolution III): {said}; a fold-over "
                "would separate them",
            )
        )
    return facts, aliases, cautions


def make_plan(
    coded: Coded, request: AnalysisRequest, aliases: Mapping[str, tuple[str, ...]]
) -> tuple[FitPlan, list[Caution]]:
    """The model, as terms of letters, that every budget is fitted with. Raises AnalysisError for one it cannot be."""
    table, cautions = coded.table, []
    corners = corners_of(table)
    two_level = request.model != "second-order"
    if two_level:
        _refuse_levels_between(coded, corners)
    method, model = request.method, request.model
    if model == "paper":
        method, model = ("paper" if method == "auto" else method), "main"
    if model == "auto":
        model = "main+2fi" if fits(table.rows(np.flatnonzero(corners).tolist()), "main+2fi") else "main"
        if model == "main" and len(table.letters) > 1:
            cautions.append(
                Caution(
                    kind="model",
                    message="the runs cannot tell all two-factor interactions apart: the model has main effects only, "
                    "and each stands for its aliases",
                )
            )
    names = {factor.column: factor.letter for factor in coded.factors}
    terms = _terms(model, table.letters, names) if two_level else table.letters
    family = None if request.family is None else _family(request.family, terms, table.letters, names)
    plan = FitPlan(
        request=request,
        block=coded.block,
        terms=terms,
        method=method,
        family=family,
        aliases=aliases,
        corners_only=two_level,
    )
    return plan, cautions


def corners_of(table: Table) -> npt.NDArray[np.bool_]:
    """Which runs are at -1 or +1 of every factor, (n,)."""
    return np.asarray((np.abs(np.abs(table.levels) - 1.0) < 1e-9).all(axis=1))


def _refuse_levels_between(coded: Coded, corners: npt.NDArray[np.bool_]) -> None:
    """Rows must be corners or centre points, or the model must have squares."""
    table = coded.table
    centers = (np.abs(table.levels) < 1e-9).all(axis=1)
    odd = np.flatnonzero(~corners & ~centers)
    if not odd.size:
        return
    at_fault = [
        f"{factor.letter} (`{factor.column}`, {factor.levels} levels)"
        for j, factor in enumerate(coded.factors)
        if np.any(np.abs(np.abs(table.levels[odd, j]) - 1.0) > 1e-9)
    ]
    shown = ", ".join(table.run_ids[i] for i in odd[:6]) + (" ..." if odd.size > 6 else "")
    raise AnalysisError(
        f"{odd.size} rows are neither at two levels of every factor nor at the centre of all: {', '.join(at_fault)}",
        value=shown,
        fix="Use --model second-order for three or more levels, --log for factors whose middle is the geometric one, "
        "or --where COLUMN=VALUE to analyse some of the rows.",
    )


def _terms(model: str, letters: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    if model == "main":
        return tuple(letters)
    if model == "main+2fi":
        return main_and_interactions(letters)
    if model in MODELS:
        raise AnalysisError("this model is fitted on its own", value=model)
    return _read_terms(model, letters, names)


def main_and_interactions(letters: Sequence[str]) -> tuple[str, ...]:
    """Main effects and two-factor interactions."""
    return (*letters, *("".join(pair) for pair in pairs_of(letters)))


def _read_terms(text: str, letters: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """Terms as the user wrote them, with columns' names or letters, in canonical form."""
    terms = []
    for part in text.replace("+", ",").split(","):
        pieces = [names.get(piece.strip(), piece.strip()) for piece in part.replace("*", ":").split(":")]
        if not any(pieces):
            raise AnalysisError(
                "a model is not readable", value=text, fix=f"Use one of {', '.join(MODELS)}, or terms such as A,B,A:B."
            )
        terms.append(term_text(parse_term(":".join(pieces), letters)))
    twice = sorted({term for term in terms if terms.count(term) > 1})
    if twice:
        raise AnalysisError("a term is named twice", value=twice, fix="A hypothesis is tested once: name it once.")
    return tuple(terms)


def _family(
    wanted: Sequence[str], terms: Sequence[str], letters: Sequence[str], names: Mapping[str, str]
) -> tuple[str, ...]:
    return tuple(terms) if tuple(wanted) == ("all",) else _read_terms(",".join(wanted), letters, names)
