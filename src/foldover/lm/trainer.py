"""The built-in trainer behind `ports.Trainer`. torch is imported only when a run begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from foldover.core import (
    Budget,
    LeverSet,
    Limit,
    Outcome,
    Recipe,
    RecipeError,
    Resolved,
    RunSpec,
    Settings,
    UserError,
    Values,
    bind,
)
from foldover.lm.branch import branch_point, check_branch, trunk_values
from foldover.lm.clock import training_limit
from foldover.lm.cost import estimated_seconds
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS, RESPONSES, TrainConfig
from foldover.lm.preflight import check_budget, num_steps
from foldover.lm.resolve import resolve
from foldover.lm.shape import shape_of
from foldover.rundir import RunFolder

TRAIN_EXTRA = ("torch", "tiktoken")


class LMTrainer:
    """GPTs of the autoresearch family on the embedded corpus, measured in bits per byte."""

    name = "lm"
    levers: LeverSet = LEVERS
    constants: LeverSet = CONSTANTS
    presets: Mapping[str, Values] = PRESETS
    responses = RESPONSES

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def estimating_on(self, device: str) -> LMTrainer:
        """The same trainer, with estimates for a device: `cuda`, or `cpu` for any other."""
        return LMTrainer("cuda" if device.startswith("cuda") else "cpu")

    def resolve(self, recipe: Recipe) -> Resolved:
        """Shapes, parameters and FLOPs of a recipe; no torch."""
        return resolve(recipe)

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        """Limit, evaluation and overhead of one run on one CPU core, or on one GPU where estimates are for those.

        Raises BudgetError for a lever that cannot act within the limit: a plan is where that should be found out.
        """
        _check_budget(resolved, budget)
        return estimated_seconds(resolved, budget, constants, share=1.0, device=self._device)

    def trunk_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe without warm-down and taper of decay. Raises RecipeError where more depends on the budget."""
        check_branch(bind(TrainConfig, recipe.values))
        return Recipe(trainer=recipe.trainer, values=trunk_values(recipe.values))

    def branch_point(self, resolved: Resolved, budget: Budget) -> Limit | None:
        """What a run trains before its warm-down begins, or its decay tapers."""
        flops_per_token = resolved.derived.integer("flops_per_token")
        return branch_point(bind(TrainConfig, resolved.recipe.values), budget.limit, flops_per_token=flops_per_token)

    def estimate_part_seconds(
        self, resolved: Resolved, budget: Budget, constants: Values, spent: Limit | None
    ) -> float:
        """As `estimate_seconds`, without the training that is done already. A trunk need not have all levers act."""
        if spent is None:
            return estimated_seconds(resolved, budget, constants, share=1.0, device=self._device)
        _check_budget(resolved, budget)
        reserve = bind(TrainConfig, resolved.recipe.values).schedule.reserve_seconds
        left = max(0.0, 1.0 - spent.amount / training_limit(budget.limit, reserve_seconds=reserve).amount)
        return estimated_seconds(resolved, budget, constants, share=left, device=self._device)

    def predicted_bytes(self, resolved: Resolved, budget: Budget, constants: Values) -> int:
        """Of the artifact that a run of this budget writes. Raises RecipeError where the recipe makes none."""
        config = bind(TrainConfig, resolved.recipe.values)
        if not config.export.artifact:
            raise RecipeError("the recipe makes no artifact", fix="Set `export.artifact=true`.")
        from foldover.lm.stored import artifact_bytes  # numpy only where something is exported

        flops_per_token = resolved.derived.integer("flops_per_token")
        return artifact_bytes(
            config,
            shape_of(config),
            resolved.recipe.values,
            code_bytes=constants.integer("code_bytes") if "code_bytes" in constants else 0,
            steps=num_steps(config, budget.limit, flops_per_token=flops_per_token),
        )

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """Build what runs of this recipe read: corpus, tokenizer, token streams, in the cache.

        Raises DataError for data that cannot be used, or too little of it to score.
        """
        missing = [name for name in TRAIN_EXTRA if find_spec(name) is None]
        if missing:
            raise UserError(
                f"the trainer `lm` needs {' and '.join(missing)}, which is not installed",
                fix='Run pip install "foldover[train]".',
            )
        # numpy and the tokenizers only when a run needs them
        from foldover.data import check_scorable
        from foldover.lm.inputs import open_data

        data = open_data(recipe, constants, progress=progress)
        context = recipe.values.integer("model.context")
        check_scorable(data, context=context, num_tokens=constants.integer("eval_tokens"))

    def preload(self) -> None:
        """Import what runs need, so that a warm worker has paid for torch before its first run's clock starts.

        Its forks inherit what it has found out as well. Threads do not outlive a fork, so nothing is computed
        with more than one.
        """
        import torch  # only here

        from foldover.lm.device import probe_cpu
        from foldover.lm.run import code_digest

        code_digest()
        if torch.get_num_threads() == 1:
            probe_cpu()

    def check_settings(self, settings: Settings) -> None:
        """Raises UserError for a device that is not there."""
        if settings.device.startswith("cuda"):
            from foldover.lm.device import check_gpus  # torch only where a GPU is asked for

            check_gpus(settings)

    def follow(self, spec: RunSpec, settings: Settings) -> None:
        """Help with a run, in a process that torchrun has started with another rank than 0."""
        from foldover.lm.run import follow_torchrun  # torch only here

        follow_torchrun(spec, settings)

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        """Prepare, train, evaluate; see `foldover.lm.run`."""
        from foldover.lm.run import run  # torch only here

        return run(spec, folder, settings)


def _check_budget(resolved: Resolved, budget: Budget) -> None:
    config = bind(TrainConfig, resolved.recipe.values)
    check_budget(config, budget.limit, flops_per_token=resolved.derived.integer("flops_per_token"))
