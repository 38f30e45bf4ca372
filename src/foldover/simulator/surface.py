"""Response surfaces with known truth: mean, noise and true effects at any recipe, budget, host and seed.

Legend: x (..., 5) coded levels of A depth, B realised width, C matrix learning rate, D batch, E warm-down
(corners are -1/+1, |x| <= 2); R recipes, S seeds. Budgets are minutes, 1 to 2880.

    value = mean + sd (sqrt(rho) u + sqrt(1 - rho) v) + rerun w

u is shared by everything under one seed, v belongs to a seed, recipe, budget and host, w to one rerun of that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from foldover.core import BudgetError, DesignError, RecipeError
from foldover.simulator.calibrated import LETTERS, calibrated_mean, calibrated_sd, calibration
from foldover.simulator.streams import normals, recipe_key

Array = npt.NDArray[np.float64]
Field = Callable[[Array, Array, str], Array]

HOSTS = ("windows", "linux")
SURFACES = ("calibrated", "null", "linear")
LEAST_MINUTES, MOST_MINUTES = 1.0, 2880.0
FURTHEST = 2.0
CENTER = (0.0, 0.0, 0.0, 0.0, 0.0)

# True effects of the surface `linear`, the same at every budget and on every host.
PLANTED: Mapping[str, float] = {"A": 0.020, "B": 0.010, "C": -0.005, "D": 0.040}
PLANTED_SD = 0.004


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A mean and a noise, both functions of (x, minutes, host) that broadcast over the leading axes of x.

    rho: the share of the noise variance that a seed carries through all recipes; rerun: sd of reruns of one seed.
    """

    name: str
    mean_of: Field
    sd_of: Field
    rho: float
    rerun: float

    def mean(self, x: npt.ArrayLike, minutes: npt.ArrayLike, host: str = HOSTS[0]) -> Array:
        """The expected response: x (..., 5) and minutes broadcast to (...).

        Raises RecipeError off the surface, BudgetError for a budget it does not reach.
        """
        levels, times = _checked(x, minutes, host)
        return self.mean_of(levels, times, host)

    def sd(self, x: npt.ArrayLike, minutes: npt.ArrayLike, host: str = HOSTS[0]) -> Array:
        """The standard deviation over seeds, without rerun noise: shape and errors as `mean`."""
        levels, times = _checked(x, minutes, host)
        return self.sd_of(levels, times, host)

    def values(
        self, x: npt.ArrayLike, minutes: float, host: str = HOSTS[0], *, seeds: Sequence[int], rerun: int = 0
    ) -> Array:
        """Responses of R recipes x (R, 5) under S seeds: (R, S). rerun: 0 for the first run of a seed.

        Depends on its arguments alone: any subset of recipes or seeds gives the same numbers.
        """
        levels = np.atleast_2d(np.asarray(x, dtype=np.float64))
        mean, sd = self.mean(levels, minutes, host), self.sd(levels, minutes, host)
        own, again = cell_noise(levels, minutes, host, seeds=seeds, rerun=rerun)
        noise = np.sqrt(self.rho) * seed_noise(seeds) + np.sqrt(1.0 - self.rho) * own
        return np.asarray(mean[:, None] + sd[:, None] * noise + self.rerun * again)

    def true_effect(
        self, term: str, minutes: float, host: str = HOSTS[0], *, points: npt.ArrayLike | None = None
    ) -> float:
        """High minus low of `A`, `AB`, ... on the mean, over `points` (R, 5): the full 2^5 if None.

        Over the rows of a fraction it is the effect with its aliases, which is what a screen estimates.
        Raises DesignError for an unknown letter, or where the term's column is not balanced on the points.
        """
        levels, column = _contrast(term, points)
        return float(2.0 * column @ self.mean(levels, minutes, host) / len(column))

    def effect_sd(
        self, term: str, minutes: float, host: str = HOSTS[0], *, points: npt.ArrayLike | None = None
    ) -> float:
        """Standard deviation over seeds of the effect that one seed shows on `points`, one run each.

        What the seed does to every cell alike cancels, but in so far as its size differs between cells it does
        not. An estimate from n seeds has standard error effect_sd / sqrt(n). Arguments and errors as `true_effect`.
        """
        levels, column = _contrast(term, points)
        sd = self.sd(levels, minutes, host)
        own = (1.0 - self.rho) * np.sum(sd**2) + len(column) * self.rerun**2
        return float(2.0 * np.sqrt(self.rho * (column @ sd) ** 2 + own) / len(column))


def get_surface(name: str) -> Surface:
    """One of SURFACES. Raises RecipeError for another name.

    calibrated: fitted to a published study. null: no effects at all, one sd (the calibrated centre's).
    linear: the calibrated centre's mean plus the PLANTED effects, one sd.
    """
    if name not in SURFACES:
        raise RecipeError("unknown surface", value=name, fix=f"Use one of {', '.join(SURFACES)}.")
    return _surfaces()[name]


def seed_noise(seeds: Sequence[int]) -> Array:
    """u (S,): what a seed does to every recipe, budget and host alike."""
    return normals((f"u|{int(seed)}" for seed in seeds), len(seeds))


def cell_noise(
    x: npt.ArrayLike, minutes: float, host: str, *, seeds: Sequence[int], rerun: int = 0
) -> tuple[Array, Array]:
    """v and w (R, S): what a seed does in one cell, and what rerunning it there does."""
    levels = np.atleast_2d(np.asarray(x, dtype=np.float64))
    shape = (len(levels), len(seeds))
    where = [f"{recipe_key(row)}|{minutes:g}|{host}" for row in levels]
    keys = [f"{int(seed)}|{cell}" for cell in where for seed in seeds]
    own = normals((f"v|{key}" for key in keys), len(keys)).reshape(shape)
    again = normals((f"w|{key}|{int(rerun)}" for key in keys), len(keys)).reshape(shape)
    return own, again


def check_minutes(minutes: npt.ArrayLike) -> None:
    """Raise BudgetError for a budget that the surface does not reach."""
    times = np.asarray(minutes, dtype=np.float64)
    if not np.all((times >= LEAST_MINUTES) & (times <= MOST_MINUTES)):
        raise BudgetError(
            "the surface does not reach a budget of so many minutes",
            value=times.tolist(),
            fix=f"It holds from {LEAST_MINUTES:g} minute to {MOST_MINUTES / 60:g} hours.",
        )


def full_factorial() -> Array:
    """(32, 5): the corners, A slowest."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=len(LETTERS))))


@cache
def _surfaces() -> Mapping[str, Surface]:
    fields: Mapping[str, tuple[Field, Field]] = {
        "calibrated": (calibrated_mean, calibrated_sd),
        "null": (_center_mean, _center_sd),
        "linear": (_planted_mean, _planted_sd),
    }
    noise = calibration().noise
    return {
        name: Surface(name=name, mean_of=mean, sd_of=sd, rho=noise["rho"], rerun=noise["rerun"])
        for name, (mean, sd) in fields.items()
    }


def _center_mean(x: Array, minutes: Array, host: str) -> Array:
    center = np.broadcast_to(CENTER, (*np.broadcast_shapes(x.shape[:-1], minutes.shape), len(LETTERS)))
    return calibrated_mean(center, minutes, host)


def _center_sd(x: Array, minutes: Array, host: str) -> Array:
    center = np.broadcast_to(CENTER, (*np.broadcast_shapes(x.shape[:-1], minutes.shape), len(LETTERS)))
    return calibrated_sd(center, minutes, host)


def _planted_mean(x: Array, minutes: Array, host: str) -> Array:
    slopes = np.array([PLANTED.get(letter, 0.0) / 2.0 for letter in LETTERS])
    return np.asarray(_center_mean(x, minutes, host) + x @ slopes)


def _planted_sd(x: Array, minutes: Array, host: str) -> Array:
    return np.full(np.broadcast_shapes(x.shape[:-1], minutes.shape), PLANTED_SD)


def _contrast(term: str, points: npt.ArrayLike | None) -> tuple[Array, Array]:
    """The points (R, 5) and the term's column (R,) of -1 and +1 on them."""
    if not term or not set(term) <= set(LETTERS):
        raise DesignError("a term is not made of the surface's factors", value=term, fix="Use letters A to E.")
    levels = full_factorial() if points is None else np.atleast_2d(np.asarray(points, dtype=np.float64))
    column = np.prod([levels[:, LETTERS.index(letter)] for letter in term], axis=0)
    if not (np.all(np.abs(column) == 1.0) and column.sum() == 0.0):
        raise DesignError("the column of a term is not half -1 and half +1 on these points", value=term)
    return levels, np.asarray(column)


def _checked(x: npt.ArrayLike, minutes: npt.ArrayLike, host: str) -> tuple[Array, Array]:
    levels, times = np.asarray(x, dtype=np.float64), np.asarray(minutes, dtype=np.float64)
    if levels.shape[-1:] != (len(LETTERS),):
        raise RecipeError("a recipe has one coded level a factor, A to E", value=levels.shape)
    if not np.all(np.abs(levels) <= FURTHEST + 1e-9):
        raise RecipeError(
            "a recipe lies off the surface",
            value=levels.tolist(),
            fix=f"Coded levels reach from {-FURTHEST:g} to {FURTHEST:g}.",
        )
    check_minutes(times)
    if host not in HOSTS:
        raise RecipeError("unknown host", value=host, fix=f"Use one of {', '.join(HOSTS)}.")
    return levels, times
