"""From what a user asks for to a design: the kind that is meant, its making, its augmentation, its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from foldover.core import Design, DesignError, Factor
from foldover.designs import (
    ALPHABET,
    Criterion,
    OptimalCriterion,
    Requirement,
    Shape,
    add_axial,
    add_centers,
    add_optimal,
    best_fold_over,
    block,
    box_behnken,
    central_composite,
    definitive_screening,
    fold_over,
    fractional_factorial,
    full_factorial,
    optimal_design,
    parse_request,
    plackett_burman,
    randomize,
    replicate,
    semifold,
    semifold_options,
    split_plot,
)

KINDS = ("auto", "fraction", "full", "pb", "ccd", "bbd", "dsd", "doptimal", "ioptimal")
AUGMENTATIONS = (
    "foldover, foldover:A, foldover:best, semifold:A, semifold:A:B+, centers:N, replicate:N, axial:ALPHA, optimal:N"
)
# Without a number of runs a full factorial is made up to this size; beyond it the user must say what is meant.
MOST_UNASKED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignOptions:
    """What a design is asked for. request: such as `2^(5-1)`; seed: of the run order (None: standard order).

    augment: such as `foldover:A`, applied in order; model: that an optimal design is made for; random_seed: of the
    starts of optimal designs.
    """

    factors: tuple[Factor, ...] = ()
    request: str = ""
    kind: str = "auto"
    runs: int | None = None
    generators: tuple[str, ...] = ()
    resolution: int | None = None
    clear: tuple[str, ...] = ()
    requirement: Requirement = "clear"
    criterion: Criterion = "aberration"
    augment: tuple[str, ...] = ()
    blocks: int | None = None
    whole_plot: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    on_forbidden: Literal["error", "around"] = "error"
    shape: Shape = "circumscribed"
    model: str = "main+2fi"
    seed: int | None = None
    random_seed: int = 0


def count_factors(count: int) -> tuple[Factor, ...]:
    """Factors without names, A, B, C, ... (no I), at -1 and +1. Raises DesignError for a count that is none."""
    if not 1 <= count <= len(ALPHABET):
        raise DesignError(f"a design has 1 to {len(ALPHABET)} factors", value=count)
    return tuple(Factor(letter=letter, lever=letter, low=-1.0, high=1.0) for letter in ALPHABET[:count])


def make_design(options: DesignOptions) -> Design:
    """The design asked for, augmented, blocked and in run order. Raises DesignError that says what would do."""
    asked = _with_request(options)
    if not asked.factors:
        raise DesignError("no factors are given", fix='Write "2^(5-1)", or --factors with a number or a file.')
    kind = _kind(asked)
    design = _MAKERS[kind](asked)
    for text in asked.augment:
        design = augment(design, text, asked)
    if asked.blocks is not None:
        design = block(design, asked.blocks)
    return randomize(design, asked.seed)


def augment(design: Design, text: str, options: DesignOptions) -> Design:
    """The design with more runs, as `foldover:A` or `centers:4` say. Raises DesignError for what is neither."""
    name, _, rest = text.strip().partition(":")
    if name == "foldover":
        return best_fold_over(design) if rest == "best" else fold_over(design, rest or "all")
    if name == "semifold":
        return _semifold(design, rest)
    if name in ("centers", "centres"):
        has_choice = any(factor.kind == "choice" for factor in design.factors)
        return add_centers(design, _count(text, rest), per_combination=has_choice)
    if name == "replicate":
        return replicate(design, _count(text, rest))
    if name == "axial":
        return add_axial(design, _number(text, rest or "1"))
    if name == "optimal":
        return add_optimal(
            design,
            _count(text, rest),
            model=options.model,
            constraints=options.constraints,
            seed=options.random_seed,
        )
    raise DesignError("an augmentation is not readable", value=text, fix=f"Use one of {AUGMENTATIONS}.")


def _with_request(options: DesignOptions) -> DesignOptions:
    """`2^(5-1)` says the number of factors and of runs; what else is given must agree."""
    if not options.request:
        return options
    k, p = parse_request(options.request)
    if options.factors and len(options.factors) != k:
        raise DesignError(f"{options.request} has {k} factors, but {len(options.factors)} are given")
    if options.runs is not None and options.runs != 2 ** (k - p):
        raise DesignError(f"{options.request} has {2 ** (k - p)} runs, but {options.runs} are asked for")
    if options.generators and len(options.generators) != p:
        raise DesignError(
            f"{options.request} has {p} generators, but {len(options.generators)} are given", value=options.generators
        )
    if options.kind not in ("auto", "fraction", "full"):
        return replace(options, factors=options.factors or count_factors(k))
    kind = "fraction" if p else "full"
    return replace(options, factors=options.factors or count_factors(k), runs=2 ** (k - p), kind=kind)


def _kind(options: DesignOptions) -> str:
    if options.kind != "auto":
        if options.kind not in KINDS:
            raise DesignError("unknown kind of design", value=options.kind, fix=f"Use one of {', '.join(KINDS)}.")
        return options.kind
    k = len(options.factors)
    if options.generators or options.resolution is not None or options.clear:
        return "fraction"
    if options.runs is None:
        if options.whole_plot or 2**k <= MOST_UNASKED:
            return "full"
        raise DesignError(
            f"the full factorial of {k} factors has {2**k:,} runs",
            fix="Ask for --runs, --resolution, --generators or a --kind; --kind full makes it all the same.",
        )
    if options.runs & (options.runs - 1) == 0:
        return "full" if options.runs == 2**k else "fraction"
    return "pb"


def _full(options: DesignOptions) -> Design:
    if options.whole_plot:
        return split_plot(options.factors, options.whole_plot)
    if options.on_forbidden == "around" and options.constraints:
        raise DesignError(
            "a full factorial has every combination and cannot go around one",
            value=options.constraints,
            fix="Ask for a fraction, or for --kind doptimal.",
        )
    return full_factorial(options.factors, constraints=options.constraints)


def _fraction(options: DesignOptions) -> Design:
    if options.whole_plot:
        return split_plot(
            options.factors,
            options.whole_plot,
            runs=options.runs,
            generators=options.generators,
            resolution=options.resolution,
        )
    if options.clear and options.resolution is not None and options.runs is None:
        return _smallest(options)
    return _regular(options)


def _regular(options: DesignOptions) -> Design:
    return fractional_factorial(
        options.factors,
        runs=options.runs,
        generators=options.generators,
        resolution=options.resolution,
        clear=options.clear,
        requirement=options.requirement,
        criterion=options.criterion,
        constraints=options.constraints,
        on_forbidden=options.on_forbidden,
    )


def _smallest(options: DesignOptions) -> Design:
    """The fewest runs that have both the resolution and the clear interactions; the full factorial at the end."""
    for num_basic in range(2, len(options.factors)):
        try:
            return _regular(replace(options, runs=2**num_basic))
        except DesignError:
            continue  # too few runs for one of the two
    return full_factorial(options.factors, constraints=options.constraints)


def _optimal(options: DesignOptions) -> Design:
    if options.runs is None:
        raise DesignError("an optimal design needs a number of runs", fix="Give --runs.")
    criterion: OptimalCriterion = "I" if options.kind == "ioptimal" else "D"
    return optimal_design(
        options.factors,
        runs=options.runs,
        model=options.model,
        criterion=criterion,
        constraints=options.constraints,
        seed=options.random_seed,
    )


def _unconstrained(make: Callable[[DesignOptions], Design]) -> Callable[[DesignOptions], Design]:
    """A maker of a fixed plan: rows that a constraint forbids are refused, not silently kept."""

    def made(options: DesignOptions) -> Design:
        from foldover.designs import read_constraints, refuse_forbidden_rows  # late: only under constraints

        design = make(options)
        if options.constraints:
            refuse_forbidden_rows(design, read_constraints(options.constraints))
        return design

    return made


_MAKERS: dict[str, Callable[[DesignOptions], Design]] = {
    "full": _full,
    "fraction": _fraction,
    "pb": _unconstrained(lambda o: plackett_burman(o.factors, runs=o.runs)),
    "ccd": _unconstrained(lambda o: central_composite(o.factors, shape=o.shape, factorial_runs=o.runs)),
    "bbd": _unconstrained(lambda o: box_behnken(o.factors)),
    "dsd": _unconstrained(lambda o: definitive_screening(o.factors)),
    "doptimal": _optimal,
    "ioptimal": _optimal,
}


def _semifold(design: Design, rest: str) -> Design:
    """`A` reverses A in the half that separates most; `A:B+` in the rows with B high."""
    reverse, _, subset = rest.partition(":")
    if subset:
        if len(subset) != 2 or subset[1] not in "+-":
            raise DesignError("a semifold is not readable", value=rest, fix="Write semifold:A:B+ or semifold:A:B-.")
        return semifold(design, reverse, subset=subset[0], level=1 if subset[1] == "+" else -1)
    options = [option for option in semifold_options(design) if not reverse or option.reverse == reverse]
    if not options:
        raise DesignError("there is no factor of that letter", value=reverse)
    best = options[0]
    return semifold(design, best.reverse, subset=best.subset, level=best.level)


def _count(text: str, rest: str) -> int:
    if not rest.isdigit():
        raise DesignError(f"{text.partition(':')[0]} needs a number", value=text, fix="Write e.g. centers:4.")
    return int(rest)


def _number(text: str, rest: str) -> float:
    try:
        return float(rest)
    except ValueError:
        raise DesignError("not a number", value=text) from None


def constraint_texts(texts: Sequence[str]) -> tuple[str, ...]:
    """Combinations written `A=+ B=+` or `A=+, B=+` with the signs between that a constraint has: `A=+ & B=+`."""
    import re  # late: only under constraints

    found = []
    for text in texts:
        if any(sign in text for sign in ("&", "<", ">", " and ")):
            found.append(text.strip())
        else:
            found.append(" & ".join(re.split(r"[,\s]+(?=[A-Za-z][\w.]*\s*=)", text.strip())))
    return tuple(found)
