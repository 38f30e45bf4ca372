"""Pure statistics: arrays and plain columns in, frozen findings out. Nothing here reads or writes anything.

Names load when they are first used: most programs need few of these modules, and all of them take 0.2 s.
A new public name goes into both lists below; tests/stats/test_stats_exports.py compares them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldover.stats.allocation import Allocation as Allocation
    from foldover.stats.allocation import DesignPlan as DesignPlan
    from foldover.stats.allocation import PlanComparison as PlanComparison
    from foldover.stats.allocation import PlanValue as PlanValue
    from foldover.stats.allocation import allocate_next as allocate_next
    from foldover.stats.allocation import compare_plans as compare_plans
    from foldover.stats.allocation import ocba as ocba
    from foldover.stats.anova import Anova as Anova
    from foldover.stats.anova import AnovaRow as AnovaRow
    from foldover.stats.anova import LackOfFit as LackOfFit
    from foldover.stats.anova import anova_of_columns as anova_of_columns
    from foldover.stats.anova import anova_of_table as anova_of_table
    from foldover.stats.anova import lack_of_fit as lack_of_fit
    from foldover.stats.anova import pure_error_lack_of_fit as pure_error_lack_of_fit
    from foldover.stats.arms import ArmPlan as ArmPlan
    from foldover.stats.arms import anchors_power as anchors_power
    from foldover.stats.arms import paired_power as paired_power
    from foldover.stats.arms import record_power as record_power
    from foldover.stats.arms import record_seeds as record_seeds
    from foldover.stats.arms import tost_power as tost_power
    from foldover.stats.arms import tost_seeds as tost_seeds
    from foldover.stats.arms import two_arm_power as two_arm_power
    from foldover.stats.arms import two_arm_seeds as two_arm_seeds
    from foldover.stats.brackets import Bracket as Bracket
    from foldover.stats.brackets import Rung as Rung
    from foldover.stats.brackets import hyperband_brackets as hyperband_brackets
    from foldover.stats.budgets import BudgetDelta as BudgetDelta
    from foldover.stats.budgets import PooledBudgets as PooledBudgets
    from foldover.stats.budgets import Relaxation as Relaxation
    from foldover.stats.budgets import RelaxationStep as RelaxationStep
    from foldover.stats.budgets import pooled_budgets as pooled_budgets
    from foldover.stats.budgets import relaxation as relaxation
    from foldover.stats.budgets import relaxation_step as relaxation_step
    from foldover.stats.columns import table_from_columns as table_from_columns
    from foldover.stats.compare import Moments as Moments
    from foldover.stats.compare import PairedDifference as PairedDifference
    from foldover.stats.compare import WelchResult as WelchResult
    from foldover.stats.compare import moments as moments
    from foldover.stats.compare import paired_difference as paired_difference
    from foldover.stats.compare import pooled_t as pooled_t
    from foldover.stats.compare import welch as welch
    from foldover.stats.conditions import Interval as Interval
    from foldover.stats.conditions import prediction_interval as prediction_interval
    from foldover.stats.conditions import sd_from_interval as sd_from_interval
    from foldover.stats.conditions import student_interval as student_interval
    from foldover.stats.conditions import summarize_conditions as summarize_conditions
    from foldover.stats.conditions import summarize_table as summarize_table
    from foldover.stats.curvature import Curvature as Curvature
    from foldover.stats.curvature import curvature_of_table as curvature_of_table
    from foldover.stats.curvature import curvature_test as curvature_test
    from foldover.stats.decompose import Curve as Curve
    from foldover.stats.decompose import Part as Part
    from foldover.stats.decompose import SpeedDecomposition as SpeedDecomposition
    from foldover.stats.decompose import decompose_by_speed as decompose_by_speed
    from foldover.stats.diagnostics import BoxCox as BoxCox
    from foldover.stats.diagnostics import Diagnostics as Diagnostics
    from foldover.stats.diagnostics import DiagnosticTest as DiagnosticTest
    from foldover.stats.diagnostics import DispersionEffect as DispersionEffect
    from foldover.stats.diagnostics import RunDiagnostics as RunDiagnostics
    from foldover.stats.diagnostics import bartlett as bartlett
    from foldover.stats.diagnostics import box_cox as box_cox
    from foldover.stats.diagnostics import breusch_pagan as breusch_pagan
    from foldover.stats.diagnostics import brown_forsythe as brown_forsythe
    from foldover.stats.diagnostics import diagnose as diagnose
    from foldover.stats.diagnostics import diagnose_model as diagnose_model
    from foldover.stats.diagnostics import dispersion_effects as dispersion_effects
    from foldover.stats.diagnostics import durbin_watson as durbin_watson
    from foldover.stats.diagnostics import shapiro_wilk as shapiro_wilk
    from foldover.stats.dominance import MannWhitneyResult as MannWhitneyResult
    from foldover.stats.dominance import WinCount as WinCount
    from foldover.stats.dominance import cliffs_delta as cliffs_delta
    from foldover.stats.dominance import mann_whitney as mann_whitney
    from foldover.stats.dominance import win_counts as win_counts
    from foldover.stats.effects import LevelMean as LevelMean
    from foldover.stats.effects import choose_method as choose_method
    from foldover.stats.effects import conditional_effects as conditional_effects
    from foldover.stats.effects import effects_of_many as effects_of_many
    from foldover.stats.effects import estimate_effects as estimate_effects
    from foldover.stats.effects import level_means as level_means
    from foldover.stats.equivalence import NonInferiorityResult as NonInferiorityResult
    from foldover.stats.equivalence import TostResult as TostResult
    from foldover.stats.equivalence import non_inferiority as non_inferiority
    from foldover.stats.equivalence import tost as tost
    from foldover.stats.equivalence import tost_estimate as tost_estimate
    from foldover.stats.equivalence import tost_paired as tost_paired
    from foldover.stats.estimators import METHODS as METHODS
    from foldover.stats.estimators import Estimates as Estimates
    from foldover.stats.estimators import Method as Method
    from foldover.stats.estimators import effects_within_blocks as effects_within_blocks
    from foldover.stats.failures import Estimability as Estimability
    from foldover.stats.failures import FactorFailures as FactorFailures
    from foldover.stats.failures import FailureEffect as FailureEffect
    from foldover.stats.failures import estimability as estimability
    from foldover.stats.failures import failure_effects as failure_effects
    from foldover.stats.failures import failures_by_factor as failures_by_factor
    from foldover.stats.failures import firth_logistic as firth_logistic
    from foldover.stats.failures import omitted_bias as omitted_bias
    from foldover.stats.failures import rank_effects as rank_effects
    from foldover.stats.failures import require_estimable as require_estimable
    from foldover.stats.failures import worst_case_effects as worst_case_effects
    from foldover.stats.families import Decided as Decided
    from foldover.stats.families import Family as Family
    from foldover.stats.families import FamilyRegister as FamilyRegister
    from foldover.stats.families import FamilyResult as FamilyResult
    from foldover.stats.families import Hypothesis as Hypothesis
    from foldover.stats.fidelity import OrderFidelity as OrderFidelity
    from foldover.stats.fidelity import order_fidelity as order_fidelity
    from foldover.stats.fidelity import same_sign_probability as same_sign_probability
    from foldover.stats.importance import Importance as Importance
    from foldover.stats.importance import Share as Share
    from foldover.stats.importance import functional_anova as functional_anova
    from foldover.stats.importance import importance_of_log as importance_of_log
    from foldover.stats.mixed import MixedFit as MixedFit
    from foldover.stats.mixed import fit_mixed as fit_mixed
    from foldover.stats.model_search import CandidateModel as CandidateModel
    from foldover.stats.model_search import near_best_models as near_best_models
    from foldover.stats.multiplicity import adjust as adjust
    from foldover.stats.noise import Component as Component
    from foldover.stats.noise import Noise as Noise
    from foldover.stats.noise import TimeTrend as TimeTrend
    from foldover.stats.noise import measure_noise as measure_noise
    from foldover.stats.noise import time_trend as time_trend
    from foldover.stats.noise import variance_components as variance_components
    from foldover.stats.ols import Fit as Fit
    from foldover.stats.ols import LeastSquares as LeastSquares
    from foldover.stats.ols import robust_errors as robust_errors
    from foldover.stats.ols import vifs as vifs
    from foldover.stats.ordering import InteractionTest as InteractionTest
    from foldover.stats.ordering import OrderingAgreement as OrderingAgreement
    from foldover.stats.ordering import Reversal as Reversal
    from foldover.stats.ordering import host_interaction as host_interaction
    from foldover.stats.ordering import ordering_agreement as ordering_agreement
    from foldover.stats.pairing import PairingGain as PairingGain
    from foldover.stats.pairing import pair_gain as pair_gain
    from foldover.stats.pairing import pairing_gain as pairing_gain
    from foldover.stats.pairwise import AllPairs as AllPairs
    from foldover.stats.pairwise import PairComparison as PairComparison
    from foldover.stats.pairwise import WithBest as WithBest
    from foldover.stats.pairwise import all_pairs as all_pairs
    from foldover.stats.pairwise import compare_with_best as compare_with_best
    from foldover.stats.pairwise import versus_control as versus_control
    from foldover.stats.permutation import PermutationResult as PermutationResult
    from foldover.stats.permutation import freedman_lane as freedman_lane
    from foldover.stats.permutation import permutation_test as permutation_test
    from foldover.stats.permutation import sign_flip_test as sign_flip_test
    from foldover.stats.power import EffectPower as EffectPower
    from foldover.stats.power import PowerCurve as PowerCurve
    from foldover.stats.power import SeedsNeeded as SeedsNeeded
    from foldover.stats.power import detectable_effect as detectable_effect
    from foldover.stats.power import error_df as error_df
    from foldover.stats.power import planned_analysis as planned_analysis
    from foldover.stats.power import power_curve as power_curve
    from foldover.stats.power import power_of as power_of
    from foldover.stats.power import seeds_needed as seeds_needed
    from foldover.stats.power import t_test_power as t_test_power
    from foldover.stats.prediction import Prediction as Prediction
    from foldover.stats.prediction import predict_condition as predict_condition
    from foldover.stats.ratio import Ratio as Ratio
    from foldover.stats.ratio import ratio_of_effects as ratio_of_effects
    from foldover.stats.resample import BootstrapResult as BootstrapResult
    from foldover.stats.resample import bootstrap as bootstrap
    from foldover.stats.resample import bootstrap_difference as bootstrap_difference
    from foldover.stats.resample import bootstrap_mean as bootstrap_mean
    from foldover.stats.resample import bootstrap_paired as bootstrap_paired
    from foldover.stats.resample_screen import EffectInterval as EffectInterval
    from foldover.stats.resample_screen import ScreenBootstrap as ScreenBootstrap
    from foldover.stats.resample_screen import bootstrap_effects as bootstrap_effects
    from foldover.stats.screen import Screen as Screen
    from foldover.stats.screen import prepare_screen as prepare_screen
    from foldover.stats.screen_power import ScreenPower as ScreenPower
    from foldover.stats.screen_power import bh_power as bh_power
    from foldover.stats.screen_power import lenth_power as lenth_power
    from foldover.stats.selection import Confirmation as Confirmation
    from foldover.stats.selection import RecordResult as RecordResult
    from foldover.stats.selection import confirm_winner as confirm_winner
    from foldover.stats.selection import expected_minimum as expected_minimum
    from foldover.stats.selection import record_test as record_test
    from foldover.stats.selection import selection_bias as selection_bias
    from foldover.stats.sequential import Boundaries as Boundaries
    from foldover.stats.sequential import lan_demets as lan_demets
    from foldover.stats.sequential import obrien_fleming as obrien_fleming
    from foldover.stats.sequential import pocock as pocock
    from foldover.stats.sequential import sequential_power as sequential_power
    from foldover.stats.sequential import stein_two_stage as stein_two_stage
    from foldover.stats.sequential import unplanned_alpha as unplanned_alpha
    from foldover.stats.splitplot import StratumRow as StratumRow
    from foldover.stats.splitplot import split_plot_anova as split_plot_anova
    from foldover.stats.splitplot import split_plot_effects as split_plot_effects
    from foldover.stats.splitplot import whole_plot_terms as whole_plot_terms
    from foldover.stats.surface import Canonical as Canonical
    from foldover.stats.surface import SurfaceFit as SurfaceFit
    from foldover.stats.surface import SurfacePoint as SurfacePoint
    from foldover.stats.surface import canonical_analysis as canonical_analysis
    from foldover.stats.surface import constrained_optimum as constrained_optimum
    from foldover.stats.surface import fit_surface as fit_surface
    from foldover.stats.surface import fit_surface_to as fit_surface_to
    from foldover.stats.surface import path_should_stop as path_should_stop
    from foldover.stats.surface import ridge_path as ridge_path
    from foldover.stats.surface import steepest_path as steepest_path
    from foldover.stats.surface_region import RegionBest as RegionBest
    from foldover.stats.surface_region import SurfaceDifference as SurfaceDifference
    from foldover.stats.surface_region import best_in_region as best_in_region
    from foldover.stats.surface_region import surface_difference as surface_difference
    from foldover.stats.table import INFORMATIVE as INFORMATIVE
    from foldover.stats.table import RERUN as RERUN
    from foldover.stats.table import TRUNK as TRUNK
    from foldover.stats.table import LeftOut as LeftOut
    from foldover.stats.table import Table as Table
    from foldover.stats.table import tabulate as tabulate
    from foldover.stats.terms import parse_term as parse_term
    from foldover.stats.terms import resolve_terms as resolve_terms
    from foldover.stats.terms import term_columns as term_columns
    from foldover.stats.terms import term_text as term_text
    from foldover.stats.units import Unit as Unit
    from foldover.stats.units import bpb_to_nats as bpb_to_nats
    from foldover.stats.units import convert as convert
    from foldover.stats.units import nats_to_bpb as nats_to_bpb
    from foldover.stats.unreplicated import FoldoverEffects as FoldoverEffects
    from foldover.stats.unreplicated import HalfNormalPoint as HalfNormalPoint
    from foldover.stats.unreplicated import LenthResult as LenthResult
    from foldover.stats.unreplicated import combine_foldover as combine_foldover
    from foldover.stats.unreplicated import contrasts as contrasts
    from foldover.stats.unreplicated import half_normal as half_normal
    from foldover.stats.unreplicated import half_normal_quantiles as half_normal_quantiles
    from foldover.stats.unreplicated import lenth as lenth
    from foldover.stats.unreplicated import yates as yates

_HOMES: Mapping[str, str] = {
    "allocation": "Allocation DesignPlan PlanComparison PlanValue allocate_next compare_plans ocba",
    "anova": "Anova AnovaRow LackOfFit anova_of_columns anova_of_table lack_of_fit pure_error_lack_of_fit",
    "arms": """
        ArmPlan anchors_power paired_power record_power record_seeds tost_power tost_seeds two_arm_power
        two_arm_seeds
    """,
    "brackets": "Bracket Rung hyperband_brackets",
    "budgets": "BudgetDelta PooledBudgets Relaxation RelaxationStep pooled_budgets relaxation relaxation_step",
    "columns": "table_from_columns",
    "compare": "Moments PairedDifference WelchResult moments paired_difference pooled_t welch",
    "conditions": "Interval prediction_interval sd_from_interval student_interval summarize_conditions summarize_table",
    "curvature": "Curvature curvature_of_table curvature_test",
    "decompose": "Curve Part SpeedDecomposition decompose_by_speed",
    "diagnostics": """
        BoxCox DiagnosticTest Diagnostics DispersionEffect RunDiagnostics bartlett box_cox breusch_pagan
        brown_forsythe diagnose diagnose_model dispersion_effects durbin_watson shapiro_wilk
    """,
    "dominance": "MannWhitneyResult WinCount cliffs_delta mann_whitney win_counts",
    "effects": "LevelMean choose_method conditional_effects effects_of_many estimate_effects level_means",
    "equivalence": "NonInferiorityResult TostResult non_inferiority tost tost_estimate tost_paired",
    "estimators": "METHODS Estimates Method effects_within_blocks",
    "failures": """
        Estimability FactorFailures FailureEffect estimability failure_effects failures_by_factor firth_logistic
        omitted_bias rank_effects require_estimable worst_case_effects
    """,
    "families": "Decided Family FamilyRegister FamilyResult Hypothesis",
    "fidelity": "OrderFidelity order_fidelity same_sign_probability",
    "importance": "Importance Share functional_anova importance_of_log",
    "mixed": "MixedFit fit_mixed",
    "model_search": "CandidateModel near_best_models",
    "multiplicity": "adjust",
    "noise": "Component Noise TimeTrend measure_noise time_trend variance_components",
    "ols": "Fit LeastSquares robust_errors vifs",
    "ordering": "InteractionTest OrderingAgreement Reversal host_interaction ordering_agreement",
    "pairing": "PairingGain pair_gain pairing_gain",
    "pairwise": "AllPairs PairComparison WithBest all_pairs compare_with_best versus_control",
    "permutation": "PermutationResult freedman_lane permutation_test sign_flip_test",
    "power": """
        EffectPower PowerCurve SeedsNeeded detectable_effect error_df planned_analysis power_curve power_of
        seeds_needed t_test_power
    """,
    "prediction": "Prediction predict_condition",
    "ratio": "Ratio ratio_of_effects",
    "resample": "BootstrapResult bootstrap bootstrap_difference bootstrap_mean bootstrap_paired",
    "resample_screen": "EffectInterval ScreenBootstrap bootstrap_effects",
    "screen": "Screen prepare_screen",
    "screen_power": "ScreenPower bh_power lenth_power",
    "selection": "Confirmation RecordResult confirm_winner expected_minimum record_test selection_bias",
    "sequential": "Boundaries lan_demets obrien_fleming pocock sequential_power stein_two_stage unplanned_alpha",
    "splitplot": "StratumRow split_plot_anova split_plot_effects whole_plot_terms",
    "surface": """
        Canonical SurfaceFit SurfacePoint canonical_analysis constrained_optimum fit_surface fit_surface_to
        path_should_stop ridge_path steepest_path
    """,
    "surface_region": "RegionBest SurfaceDifference best_in_region surface_difference",
    "table": "INFORMATIVE RERUN TRUNK LeftOut Table tabulate",
    "terms": "parse_term resolve_terms term_columns term_text",
    "units": "Unit bpb_to_nats convert nats_to_bpb",
    "unreplicated": """
        FoldoverEffects HalfNormalPoint LenthResult combine_foldover contrasts half_normal half_normal_quantiles
        lenth yates
    """,
}
_HOME_OF: Mapping[str, str] = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def _load(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module `foldover.stats` has no attribute `{name}`")
    value: object = getattr(importlib.import_module(f"foldover.stats.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    __getattr__ = _load  # a type checker that saw this would let every misspelt name pass


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
