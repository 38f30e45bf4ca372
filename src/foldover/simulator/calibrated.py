"""The calibrated surface: a smooth fit to the published summaries of a staged screen (arXiv 2606.05186v1).

With L = ln(minutes / 10) and y, s, k, p polynomials in x:

    mean = y(x) + exp(s(x) - sp L - sq L^2) + exp(k(x) - p(x) L - q L^2)

the long-horizon level, a slow learning curve and a fast penalty for too little training; the second host adds
a penalty of its own. It is a test bench and never evidence about real training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LETTERS = "ABCDE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Polynomial:
    """Sum of coefficients times products of levels; columns: which levels each term multiplies."""

    coefficients: tuple[float, ...]
    columns: tuple[tuple[int, ...], ...]

    def __call__(self, x: Array) -> Array:
        """x (..., 5) to (...)."""
        total = np.zeros(x.shape[:-1])
        for coefficient, columns in zip(self.coefficients, self.columns, strict=True):
            term = np.full(x.shape[:-1], coefficient)
            for column in columns:
                term = term * x[..., column]
            total = total + term
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The fitted numbers of surface.json; polynomials: y, s, k, p of the mean, h, r of the
    second host; sha256: of the file.
    """

    mean: Mapping[str, float]
    host: Mapping[str, float]
    noise: Mapping[str, float]
    polynomials: Mapping[str, Polynomial]
    noise_reference: Mapping[str, str]
    recipes: Mapping[str, tuple[float, ...]]
    legacy_seed: int
    sha256: str


@cache
def calibration() -> Calibration:
    """The numbers of the package's surface.json, read at the first call."""
    data = files("foldover.simulator").joinpath("surface.json").read_bytes()
    plain = json.loads(data)
    mean, host = plain["mean_parameters"], plain["host_parameters"]
    return Calibration(
        mean=mean,
        host=host,
        noise=plain["noise_parameters"],
        polynomials={prefix: _polynomial({**mean, **host}, prefix) for prefix in "yskphr"},
        noise_reference=plain["noise_reference"],
        recipes={name: tuple(levels) for name, levels in plain["recipes"].items()},
        legacy_seed=plain["legacy_seed"],
        sha256=hashlib.sha256(data).hexdigest(),
    )


def calibrated_mean(x: Array, minutes: Array, host: str) -> Array:
    """The mean surface: x (..., 5) and minutes broadcast to (...)."""
    fit, of = calibration().mean, calibration().polynomials
    L = np.log(minutes / 10.0)
    slow = np.exp(of["s"](x) - fit["sp"] * L - fit["sq"] * L**2)
    fast = np.exp(of["k"](x) - of["p"](x) * L - fit["q"] * L**2)
    mean = of["y"](x) + slow + fast
    if host == "linux":
        mean = mean + np.exp(of["h"](x) - of["r"](x) * L - calibration().host["rq"] * L**2)
    return np.asarray(mean)


def calibrated_sd(x: Array, minutes: Array, host: str) -> Array:
    """Seed sd: a floor that falls with the budget, and a share of the penalty over the host's reference recipe."""
    fit = calibration()
    noise, reference = fit.noise, np.array(fit.recipes[fit.noise_reference[host]])
    penalty = np.maximum(0.0, calibrated_mean(x, minutes, host) - calibrated_mean(reference, minutes, host))
    floor = noise["f_inf"] ** 2 + (noise["f10"] * (minutes / 10.0) ** -noise["f_exp"]) ** 2
    share = noise["k0"] * np.exp(-0.5 * (np.log(minutes / noise["kt"]) / noise["kw"]) ** 2)
    return np.asarray(np.sqrt(floor + (share * penalty) ** 2))


def _polynomial(parameters: Mapping[str, float], prefix: str) -> Polynomial:
    """Of the parameters named prefix + `0` or letters, e.g. `y0`, `yA`, `yAB`."""
    terms = {
        tuple(LETTERS.index(letter) for letter in name[1:] if letter != "0"): value
        for name, value in parameters.items()
        if name[0] == prefix and len(name) > 1 and set(name[1:]) <= set(LETTERS + "0")
    }
    return Polynomial(coefficients=tuple(terms.values()), columns=tuple(terms))
