"""What the analysis of a plain table found: records that hold every number its text and its pictures show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from foldover.core import ConditionSummary, Direction, Effect

if TYPE_CHECKING:
    from foldover.stats import (
        Anova,
        Curvature,
        Diagnostics,
        FactorFailures,
        HalfNormalPoint,
        LackOfFit,
        LeftOut,
        LenthResult,
        LevelMean,
        Relaxation,
    )

TABLE_SCHEMA = 1

CautionKind = Literal[
    "aliased", "block", "budget", "coding", "curvature", "duplicates", "effects", "failures", "file", "lack_of_fit",
    "left_out", "leverage", "model", "normality", "outlier", "same_results", "seeds", "surface", "unbalanced",
    "variance",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """A named warning: what a reader of the numbers must know. rows: run ids (lines of the file where it has none)."""

    kind: CautionKind
    message: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorColumn:
    """A factor of the table: its letter, its column, and the levels behind -1 and +1 as the file has them.

    levels: how many distinct ones; coding: where the codes come from (`coded`, `natural`, `log`, `words`, `design`).
    """

    letter: str
    column: str
    low: str
    high: str
    levels: int
    coding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignFacts:
    """The design behind the runs. source: `given` or `recognised`; resolution: None for a full factorial."""

    source: str
    kind: str
    generators: tuple[str, ...]
    words: tuple[str, ...]
    resolution: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """The means behind an interaction plot, at the four combinations of two factors."""

    one: str
    other: str
    means: tuple[LevelMean, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceTerm:
    """A coefficient of the second-order model, per unit of coded x (an effect is twice that of a main term)."""

    term: str
    estimate: float
    se: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceFindings:
    """A second-order fit: coefficients, stationary point with its nature (None on a ridge), the best point inside.

    stationary, best: coded; axes: a unit vector for each eigenvalue; path: (distance, coded point, prediction) of the
    best points within rising distances; natural: the best point in the file's units, as text, by column.
    """

    terms: tuple[SurfaceTerm, ...]
    sigma: float
    df: int
    r2: float
    stationary: tuple[float, ...] | None
    stationary_low: tuple[float, ...] | None
    stationary_high: tuple[float, ...] | None
    stationary_value: float | None
    nature: str
    eigenvalues: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    best: tuple[float, ...]
    best_value: float
    natural: tuple[tuple[str, str], ...]
    path: tuple[tuple[float, tuple[float, ...], float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The runs at one budget. budget: "" where the table has none.

    levels: coded, of each condition; contrasts: every contrast of the condition means, as points of the half-normal
    plot; lenth: its margins where the conditions ran once; margin: what an effect must exceed for its interval to
    exclude 0, where all have one error (None: no error, or different ones); diagnosed: the model of the diagnostics.
    """

    budget: str
    num_runs: int
    method: str
    terms: tuple[str, ...]
    effects: tuple[Effect, ...]
    conditional: tuple[Effect, ...]
    conditions: tuple[ConditionSummary, ...]
    levels: tuple[tuple[str, tuple[float, ...]], ...]
    contrasts: tuple[HalfNormalPoint, ...]
    lenth: LenthResult | None
    margin: float | None
    main_means: tuple[tuple[LevelMean, ...], ...]
    interactions: tuple[Interaction, ...]
    lack_of_fit: LackOfFit | None
    lack_of_fit_model: str
    curvature: Curvature | None
    anova: Anova | None
    diagnostics: Diagnostics | None
    diagnosed: tuple[str, ...]
    surface: SurfaceFindings | None
    cautions: tuple[Caution, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFindings:
    """The whole analysis of a table; `parts` by rising budget. Its JSON form is what `--json` prints."""

    schema: int
    source: str
    sha256: str
    response: str
    direction: Direction
    model: str
    level: float
    q: float
    correction: str
    block: str | None
    factors: tuple[FactorColumn, ...]
    design: DesignFacts | None
    num_rows: int
    left_out: tuple[LeftOut, ...]
    failures: tuple[FactorFailures, ...]
    parts: tuple[Part, ...]
    relaxation: Relaxation | None
    cautions: tuple[Caution, ...]
