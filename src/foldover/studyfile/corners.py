"""Whether the trainer can build what the study will run, and whether a factor changes anything.

Recipes are resolved, not trained: no GPU, no torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import Factor, Recipe, RecipeError, Resolved, Scalar, Stage, Values, natural_levels
from foldover.studyfile.branches import check_branches
from foldover.studyfile.generators import corner_levels
from foldover.studyfile.table import Report
from foldover.studyfile.trainer import TrainerInfo

# Resolving takes up to a millisecond; a design with more corners is checked when it is planned.
MOST_CORNERS = 4096
_FIXED: Mapping[str, tuple[int, ...]] = {"low": (-1,), "high": (1,), "better": (-1, 1), "best": (-1, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the factors stand on. response: that is judged."""

    trainer: TrainerInfo
    baseline: Recipe
    report: Report
    response: str = ""

    def resolve(self, changes: Mapping[str, Scalar]) -> Resolved | RecipeError:
        """The baseline with some levers changed, or why the trainer cannot build it."""
        values = Values({**self.baseline.values, **changes})
        try:
            return self.trainer.resolve(Recipe(trainer=self.baseline.trainer, values=values))
        except RecipeError as error:
            return error


def check_all(ground: Ground, factors: Mapping[str, Factor | None], stages: Sequence[Stage | None]) -> None:
    """Note what cannot be built: the baseline, a level, a corner of a screen; and factors that change nothing."""
    resolved = ground.resolve({})
    if isinstance(resolved, RecipeError):
        ground.report.add(("baseline",), f"[baseline]: {resolved}")
        return
    _check_corners(ground, factors, stages)
    known = [factor for factor in factors.values() if factor is not None]
    _check_response(ground, known, stages)
    _check_matches(ground, resolved, stages)
    for index, stage in enumerate(stages):
        if stage is not None and stage.branch is not None and len(known) == len(factors):
            changes = [_changes(known, corner) for corner in _corners(stage, known)]
            found = [ground.resolve(change) for change in changes or [{}]]
            branched = [resolved for resolved in found if isinstance(resolved, Resolved)]
            check_branches(ground.trainer, ground.report, index, stage, branched)


def _check_response(ground: Ground, factors: Sequence[Factor], stages: Sequence[Stage | None]) -> None:
    """Every run of the screens gives the response that is judged; where their corners are not known, single levels."""
    rows = [_changes(factors, corner) for stage in stages if stage is not None for corner in _corners(stage, factors)]
    alone = [{factor.lever: level} for factor in factors for level in (factor.low, factor.high)]
    for changes in rows or [{}, *alone]:
        found = ground.resolve(changes)
        given = found.responses if isinstance(found, Resolved) else ()
        if given and ground.response not in given:
            settings = ", ".join(f"{name} = {value!r}" for name, value in changes.items()) or "the baseline"
            ground.report.add(
                ("study", "response"),
                f"[study]: a run at {settings} gives no `{ground.response}`, only {', '.join(given)}. Switch on what "
                "gives it, such as `export.artifact` under [baseline.set], or name another response.",
            )
            return


def _check_matches(ground: Ground, baseline: Resolved, stages: Sequence[Stage | None]) -> None:
    """What picks are matched in is a number that this trainer derives."""
    for index, stage in enumerate(stages):
        if stage is None:
            continue
        for place, pick in enumerate(stage.picks):
            if pick.match and pick.match not in baseline.derived:
                text = f"no recipe of trainer {ground.baseline.trainer!r} has a `{pick.match}`: leave `match` out."
                ground.report.add(("stages", index, "pick", place, "match"), f"stage {stage.name}: {text}")


def _changes(factors: Sequence[Factor], corner: Sequence[int]) -> Mapping[str, Scalar]:
    values = natural_levels(factors, corner)
    return {factor.lever: values[factor.lever] for factor in factors}


def _check_corners(ground: Ground, factors: Mapping[str, Factor | None], stages: Sequence[Stage | None]) -> None:
    """Every corner of every screen can be built, and each factor changes what is run.

    A corner that fails because of one level alone is a problem of that factor, at that level's line; one that
    fails by a combination is a problem of the stage. Where a corner set is not known (its generators are
    left to the catalogue), single levels are held against the baseline.
    """
    alone: dict[tuple[str, int], RecipeError] = {}
    for letter, factor in factors.items():
        if factor is not None:
            alone.update(_check_factor(ground, letter, factor))
    known = [factor for factor in factors.values() if factor is not None]
    screens = {index: stage for index, stage in enumerate(stages) if stage is not None and stage.design is not None}
    is_complete = bool(screens) and len(known) == len(factors)
    blamed: set[tuple[str, int]] = set()
    for index, stage in screens.items() if is_complete else ():
        corners = _corners(stage, known)
        is_complete &= bool(corners)
        blamed |= _check_screen(ground, index, stage, known, corners, alone)
    for letter, level in alone if not is_complete else blamed:
        key = "low" if level < 0 else "high"
        ground.report.add(("factors", letter, key), f"factor {letter}: {alone[letter, level]}")


def _check_factor(ground: Ground, letter: str, factor: Factor) -> dict[tuple[str, int], RecipeError]:
    low, high = (ground.resolve({factor.lever: level}) for level in (factor.low, factor.high))
    if isinstance(low, Resolved) and isinstance(high, Resolved) and low.effective == high.effective:
        text = (
            f"factor {letter}: levels {factor.low!r} and {factor.high!r} of `{factor.lever}` give the same run at the "
            "baseline. Move one of them, or change the baseline."
        )
        ground.report.add(("factors", letter), text)
    return {(letter, level): side for level, side in ((-1, low), (1, high)) if isinstance(side, RecipeError)}


def _corners(stage: Stage, factors: Sequence[Factor]) -> tuple[tuple[int, ...], ...]:
    """Coded levels, one a factor; a factor that is fixed at its better level may stand at either."""
    if stage.design is None or stage.design.runs > MOST_CORNERS:
        return ()
    free = [factor.letter for factor in factors if factor.letter not in stage.fix]
    held = [_FIXED[str(stage.fix[factor.letter])] for factor in factors if factor.letter in stage.fix]
    fixed = [factor.letter for factor in factors if factor.letter in stage.fix]
    found = []
    for row in corner_levels(stage.design, free):
        for levels in itertools.product(*held):
            at = dict(zip([*free, *fixed], [*row, *levels], strict=True))
            found.append(tuple(at[factor.letter] for factor in factors))
    return tuple(found)


def _check_screen(
    ground: Ground,
    index: int,
    stage: Stage,
    factors: Sequence[Factor],
    corners: Sequence[tuple[int, ...]],
    alone: Mapping[tuple[str, int], RecipeError],
) -> set[tuple[str, int]]:
    """Note combinations that cannot be built; gives the single levels that are to blame for other corners."""
    blamed: set[tuple[str, int]] = set()
    unexplained: list[tuple[Mapping[str, Scalar], RecipeError]] = []
    for corner in corners:
        changes = _changes(factors, corner)
        resolved = ground.resolve(changes)
        if not isinstance(resolved, RecipeError):
            continue
        culprits = {(f.letter, level) for f, level in zip(factors, corner, strict=True) if (f.letter, level) in alone}
        blamed |= culprits
        if not culprits:
            unexplained.append((changes, resolved))
    if unexplained:
        first, error = unexplained[0]
        settings = ", ".join(f"{name} = {value!r}" for name, value in first.items())
        more = f" {len(unexplained) - 1} more corners fail." if len(unexplained) > 1 else ""
        key = "design" if ground.report.has(("stages", index, "design")) else "runs"
        text = f"stage {stage.name}: the corner {settings} cannot be built: {error}{more}"
        ground.report.add(("stages", index, key), text)
    return blamed
