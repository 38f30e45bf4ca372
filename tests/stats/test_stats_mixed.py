"""Variance components by REML against lme4 and statsmodels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.core import AnalysisError
from foldover.stats import fit_mixed

CASES: dict[str, Any] = {
    c["id"]: c for c in json.loads((Path(__file__).parent / "known_answers_estimation.json").read_text())["cases"]
}


def test_dyestuff_one_way() -> None:
    data, expected = CASES["P37"]["input"], CASES["P37"]["expected"]
    fit = fit_mixed(np.array(data["Yield"], dtype=float), np.ones((30, 1)), {"batch": data["Batch"]})
    assert np.sqrt(fit.components["batch"]) == pytest.approx(expected["sigma_batch"], rel=1e-3)
    assert np.sqrt(fit.components["residual"]) == pytest.approx(expected["sigma_resid"], rel=1e-3)
    assert fit.coef[0] == pytest.approx(expected["intercept"])
    assert fit.se[0] == pytest.approx(expected["se"], rel=1e-3)
    assert fit.loglik == pytest.approx(expected["REML_loglik"], abs=1e-6)
    assert fit.icc["batch"] == pytest.approx(expected["icc"], rel=1e-3)


def test_dyestuff_equals_the_anova_estimator() -> None:
    data = CASES["P37"]["input"]
    fit = fit_mixed(np.array(data["Yield"], dtype=float), np.ones((30, 1)), {"batch": data["Batch"]})
    assert fit.components["batch"] == pytest.approx((11271.5 - 2451.25) / 5, rel=1e-5)
    assert fit.df[0] == pytest.approx(5.0, rel=1e-4)


def test_penicillin_crossed_effects() -> None:
    data, expected = CASES["P38"]["input"], CASES["P38"]["expected"]
    fit = fit_mixed(
        np.array(data["diameter"], dtype=float),
        np.ones((144, 1)),
        {"plate": data["plate"], "sample": data["sample"]},
    )
    found = {f"sigma_{name}": np.sqrt(value) for name, value in fit.components.items()}
    assert found["sigma_plate"] == pytest.approx(expected["sigma_plate"], rel=2e-3)
    assert found["sigma_sample"] == pytest.approx(expected["sigma_sample"], rel=2e-3)
    assert found["sigma_residual"] == pytest.approx(expected["sigma_resid"], rel=2e-3)
    assert fit.coef[0] == pytest.approx(expected["intercept"])


def test_oats_nested_components() -> None:
    data, expected = CASES["P39"]["input"], CASES["P39"]["expected"]
    cells = sorted(set(zip(data["V"], data["N"], strict=True)))
    X = np.eye(12)[[cells.index(cell) for cell in zip(data["V"], data["N"], strict=True)]]
    plots = [f"{block}:{variety}" for block, variety in zip(data["B"], data["V"], strict=True)]
    fit = fit_mixed(np.array(data["Y"], dtype=float), X, {"block": data["B"], "plot": plots})
    assert fit.components["block"] == pytest.approx(expected["reml_var_block"], rel=1e-3)
    assert fit.components["plot"] == pytest.approx(expected["reml_var_wholeplot"], rel=1e-3)
    assert fit.components["residual"] == pytest.approx(expected["reml_var_resid"], rel=1e-3)


def test_unbalanced_one_way_agrees_with_statsmodels() -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(8), [3, 5, 4, 6, 2, 5, 4, 3])
    x = rng.standard_normal(32)
    X = np.column_stack([np.ones(32), x])
    y = 2.0 + 0.5 * x + rng.standard_normal(8)[groups] * 1.2 + rng.standard_normal(32) * 0.7
    theirs = MixedLM(y, X, groups=groups).fit(reml=True)
    ours = fit_mixed(y, X, {"group": groups.tolist()})
    assert ours.components["group"] == pytest.approx(float(theirs.cov_re[0, 0]), rel=1e-3)
    assert ours.components["residual"] == pytest.approx(theirs.scale, rel=1e-3)
    np.testing.assert_allclose(ours.coef, theirs.fe_params, rtol=1e-4)
    # Errors are those of generalised least squares, as in lme4; statsmodels takes them from a joint Hessian.
    V = ours.components["group"] * (groups[:, None] == groups) + ours.components["residual"] * np.eye(32)
    np.testing.assert_allclose(ours.se, np.sqrt(np.diag(np.linalg.inv(X.T @ np.linalg.solve(V, X)))), rtol=1e-9)


def test_a_component_at_zero_is_said_to_be_at_its_boundary() -> None:
    y = np.array([1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 2.0, 1.0, 3.0])
    fit = fit_mixed(y, np.ones((9, 1)), {"g": list("aaabbbccc")})
    assert fit.components["g"] == 0.0
    assert any("boundary" in note for note in fit.notes)
    assert fit.components["residual"] == pytest.approx(y.var(ddof=1), rel=1e-6)


def test_few_groups_are_warned_of() -> None:
    y = np.array([1.0, 1.1, 2.0, 2.2, 0.3, 0.1])
    assert any("below 5" in note for note in fit_mixed(y, np.ones((6, 1)), {"g": list("aabbcc")}).notes)


def test_a_group_for_every_run_is_refused() -> None:
    with pytest.raises(AnalysisError, match="cannot be told from the rest"):
        fit_mixed(np.arange(4.0), np.ones((4, 1)), {"g": list("abcd")})
