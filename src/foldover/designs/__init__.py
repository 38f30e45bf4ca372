"""Designs of experiments: made, checked, evaluated, written and read. Pure: data in, frozen records out.

Names load when they are first used, so that a command that needs one alias table does not pay for all designs. A new
public name goes into both lists below; tests/designs/test_designs_exports.py compares them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldover.designs.aberration import fractions as fractions
    from foldover.designs.aberration import minimum_aberration as minimum_aberration
    from foldover.designs.alias import ClearEffects as ClearEffects
    from foldover.designs.alias import alias_chain as alias_chain
    from foldover.designs.alias import alias_groups as alias_groups
    from foldover.designs.alias import alias_sets as alias_sets
    from foldover.designs.alias import clear_effects as clear_effects
    from foldover.designs.alias import refuse_aliased_terms as refuse_aliased_terms
    from foldover.designs.augment import add_axial as add_axial
    from foldover.designs.augment import add_centers as add_centers
    from foldover.designs.augment import add_rows as add_rows
    from foldover.designs.augment import replicate as replicate
    from foldover.designs.blocks import block as block
    from foldover.designs.blocks import block_generators as block_generators
    from foldover.designs.catalogue import Criterion as Criterion
    from foldover.designs.catalogue import generators_for as generators_for
    from foldover.designs.catalogue import most_factors as most_factors
    from foldover.designs.catalogue import resolution_chart as resolution_chart
    from foldover.designs.catalogue import roman as roman
    from foldover.designs.check import DesignNote as DesignNote
    from foldover.designs.check import Severity as Severity
    from foldover.designs.check import check_design as check_design
    from foldover.designs.constraints import Constraint as Constraint
    from foldover.designs.constraints import is_allowed as is_allowed
    from foldover.designs.constraints import read_constraints as read_constraints
    from foldover.designs.constraints import refuse_forbidden_rows as refuse_forbidden_rows
    from foldover.designs.definitive import conference_matrix as conference_matrix
    from foldover.designs.definitive import definitive_screening as definitive_screening
    from foldover.designs.estimable import Estimability as Estimability
    from foldover.designs.estimable import Lost as Lost
    from foldover.designs.estimable import estimability as estimability
    from foldover.designs.estimable import require_estimable as require_estimable
    from foldover.designs.evaluate import AliasEntry as AliasEntry
    from foldover.designs.evaluate import Correlation as Correlation
    from foldover.designs.evaluate import Evaluation as Evaluation
    from foldover.designs.evaluate import TermQuality as TermQuality
    from foldover.designs.evaluate import alias_matrix as alias_matrix
    from foldover.designs.evaluate import compare_d_efficiency as compare_d_efficiency
    from foldover.designs.evaluate import evaluate_design as evaluate_design
    from foldover.designs.evaluate import prediction_variance as prediction_variance
    from foldover.designs.factorial import fractional_factorial as fractional_factorial
    from foldover.designs.factorial import full_factorial as full_factorial
    from foldover.designs.factorial import parse_request as parse_request
    from foldover.designs.fold import FoldOption as FoldOption
    from foldover.designs.fold import SemifoldOption as SemifoldOption
    from foldover.designs.fold import best_fold_over as best_fold_over
    from foldover.designs.fold import fold_over as fold_over
    from foldover.designs.fold import fold_over_options as fold_over_options
    from foldover.designs.fold import semifold as semifold
    from foldover.designs.fold import semifold_options as semifold_options
    from foldover.designs.free import explicit_design as explicit_design
    from foldover.designs.free import random_design as random_design
    from foldover.designs.gf2 import ALPHABET as ALPHABET
    from foldover.designs.gf2 import Word as Word
    from foldover.designs.gf2 import defining_relation as defining_relation
    from foldover.designs.gf2 import resolution as resolution
    from foldover.designs.gf2 import wordlength_pattern as wordlength_pattern
    from foldover.designs.gf2 import wordlength_pattern_of_columns as wordlength_pattern_of_columns
    from foldover.designs.model import MODELS as MODELS
    from foldover.designs.model import expand_model as expand_model
    from foldover.designs.model import model_columns as model_columns
    from foldover.designs.model import model_matrix as model_matrix
    from foldover.designs.optimal import OptimalCriterion as OptimalCriterion
    from foldover.designs.optimal import add_optimal as add_optimal
    from foldover.designs.optimal import optimal_design as optimal_design
    from foldover.designs.order import randomize as randomize
    from foldover.designs.order import randomize_rest as randomize_rest
    from foldover.designs.reference import one_at_a_time as one_at_a_time
    from foldover.designs.requirements import Requirement as Requirement
    from foldover.designs.requirements import find_generators as find_generators
    from foldover.designs.response_surface import Alpha as Alpha
    from foldover.designs.response_surface import Shape as Shape
    from foldover.designs.response_surface import axial_distance as axial_distance
    from foldover.designs.response_surface import box_behnken as box_behnken
    from foldover.designs.response_surface import central_composite as central_composite
    from foldover.designs.screening import PLACKETT_BURMAN_RUNS as PLACKETT_BURMAN_RUNS
    from foldover.designs.screening import e_s2 as e_s2
    from foldover.designs.screening import generalized_wordlength_pattern as generalized_wordlength_pattern
    from foldover.designs.screening import plackett_burman as plackett_burman
    from foldover.designs.serialise import from_csv as from_csv
    from foldover.designs.serialise import from_json as from_json
    from foldover.designs.serialise import to_csv as to_csv
    from foldover.designs.serialise import to_json as to_json
    from foldover.designs.splitplot import Strata as Strata
    from foldover.designs.splitplot import cross_plots as cross_plots
    from foldover.designs.splitplot import split_plot as split_plot
    from foldover.designs.splitplot import strata as strata

_HOMES: Mapping[str, str] = {
    "aberration": "fractions minimum_aberration",
    "alias": "ClearEffects alias_chain alias_groups alias_sets clear_effects refuse_aliased_terms",
    "augment": "add_axial add_centers add_rows replicate",
    "blocks": "block block_generators",
    "catalogue": "Criterion generators_for most_factors resolution_chart roman",
    "check": "DesignNote Severity check_design",
    "constraints": "Constraint is_allowed read_constraints refuse_forbidden_rows",
    "definitive": "conference_matrix definitive_screening",
    "estimable": "Estimability Lost estimability require_estimable",
    "evaluate": (
        "AliasEntry Correlation Evaluation TermQuality alias_matrix compare_d_efficiency evaluate_design "
        "prediction_variance"
    ),
    "factorial": "fractional_factorial full_factorial parse_request",
    "fold": "FoldOption SemifoldOption best_fold_over fold_over fold_over_options semifold semifold_options",
    "free": "explicit_design random_design",
    "gf2": "ALPHABET Word defining_relation resolution wordlength_pattern wordlength_pattern_of_columns",
    "model": "MODELS expand_model model_columns model_matrix",
    "optimal": "OptimalCriterion add_optimal optimal_design",
    "order": "randomize randomize_rest",
    "reference": "one_at_a_time",
    "requirements": "Requirement find_generators",
    "response_surface": "Alpha Shape axial_distance box_behnken central_composite",
    "screening": "PLACKETT_BURMAN_RUNS e_s2 generalized_wordlength_pattern plackett_burman",
    "serialise": "from_csv from_json to_csv to_json",
    "splitplot": "Strata cross_plots split_plot strata",
}
_HOME_OF: Mapping[str, str] = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def _load(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    __getattr__ = _load  # a type checker that saw this would let every misspelt name pass


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
