"""Levers of training: schedules, batches, loss, averages.

Part of the catalogue that `foldover.lm.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever

AUTORESEARCH = "karpathy/autoresearch 228791f"
GOLF = "openai/parameter-golf, train_gpt.py"
LAB = "foldover"
WARMDOWN_SHAPES = ("linear", "cosine", "one_minus_sqrt")
LENGTH_STARTS = ("1", "1/2", "1/4", "1/8", "1/16")
AVERAGES = ("none", "ema", "swa", "lawa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rates as a function of progress through the budget; where two warm-downs act, the lower rate holds."""

    warmup_ratio: float = lever(
        0.0,
        "Share of the budget over which rates rise from 0.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        fires="warmup_ended",
        source=AUTORESEARCH,
        aliases=("WARMUP_RATIO",),
    )
    warmdown_ratio: float = lever(
        0.5,
        "Share of the budget, at its end, over which rates fall.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        fires="warmdown_started",
        aliases=("WARMDOWN_FRAC", "WARMDOWN_RATIO"),
        source=AUTORESEARCH,
    )
    warmdown_steps: int = lever(
        0,
        "Steps at the end over which rates fall; with a limit in seconds, as many as fit at the speed measured so "
        "far. 0: none.",
        low=0,
        high=1000000,
        unit="steps",
        neutral=0,
        fires="warmdown_started",
        aliases=("WARMDOWN_ITERS",),
        source=GOLF,
    )
    warmdown_shape: str = lever(
        "linear",
        "How rates fall: linearly, as half a cosine, or as 1 - sqrt(share of the warm-down that is over).",
        choices=WARMDOWN_SHAPES,
        source=f"{AUTORESEARCH}; Haegele et al. 2024, arXiv 2405.18392",
    )
    final_lr_fraction: float = lever(
        0.0,
        "Rates at the end, as a fraction of the full ones: the warm-down is blended towards it.",
        low=0.0,
        high=1.0,
        neutral=1.0,
        source=AUTORESEARCH,
        aliases=("FINAL_LR_FRAC",),
    )
    min_lr_fraction: float = lever(
        0.0,
        "A floor under the warm-down, as a fraction of the full rates: it falls as before and stops there.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        aliases=("MIN_LR",),
        source="openai/parameter-golf, records of 2026-04-23",
    )
    adaptive_threshold: float = lever(
        0.0,
        "The warm-down begins early, once the smoothed training loss improves by less than this share over a "
        "window; it then takes all that is left of the budget. 0: never.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        fires="plateau_found",
        aliases=("ADAPTIVE_WARMDOWN_THRESHOLD",),
        source="SPThole/parameter-golf-experimentations (prose)",
    )
    adaptive_window: int = lever(
        500,
        "Steps between the two losses that are compared.",
        low=1,
        high=100000,
        unit="steps",
        needs="schedule.adaptive_threshold",
        source=LAB,
    )
    adaptive_smoothing: float = lever(
        0.99,
        "Decay of the moving average of the training loss.",
        low=0.0,
        high=0.99999,
        needs="schedule.adaptive_threshold",
        aliases=("ADAPTIVE_WARMDOWN_EMA",),
        source="SPThole/parameter-golf-experimentations (prose)",
    )
    adaptive_min_steps: int = lever(
        2000,
        "Steps before which no plateau is looked for.",
        low=0,
        high=1000000,
        unit="steps",
        needs="schedule.adaptive_threshold",
        aliases=("ADAPTIVE_WARMDOWN_MIN_STEPS",),
        source="SPThole/parameter-golf-experimentations (prose)",
    )
    unfreeze_ratio: float = lever(
        0.0,
        "Of L blocks, block i (from 0) is trained from this share of the budget times i / L on. 0: all from the start.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        fires="unfrozen",
        source=LAB,
    )
    free_steps: int = lever(
        11,
        "First steps whose time does not count against a limit in seconds (upstream: indices 0 to 10).",
        low=0,
        high=1000,
        unit="steps",
        neutral=0,
        source=AUTORESEARCH,
    )
    restored_steps: int = lever(
        0,
        "Steps of rehearsal before the clock starts, after which model, optimiser and data are put back.",
        low=0,
        high=1000,
        unit="steps",
        neutral=0,
        fires="rehearsed",
        aliases=("WARMUP_STEPS",),
        source=GOLF,
    )
    reserve_seconds: float = lever(
        0.0,
        "Of a limit in seconds, what is kept for calibrating the export on training text, which counts as training: "
        "training and its schedules end so much earlier. Text that the model writes itself does not count.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        unit="seconds",
        is_later=True,
        aliases=("GPTQ_RESERVE_SECONDS",),
        source=f"{GOLF}, records from 2026-03-25 on",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How much text one step sees. How many micro-batches it is cut into is a setting: it changes nothing."""

    total_batch: int = lever(
        524288,
        "Tokens an optimiser step, a multiple of the context.",
        low=8,
        high=2**26,
        unit="tokens",
        scale="linear",
        aliases=("TRAIN_BATCH_TOKENS", "TOTAL_BATCH_SIZE"),
        source=AUTORESEARCH,
    )
    batch_start: float = lever(
        1.0,
        "Batch at the start, as a share of the whole one, in whole rows; it grows linearly.",
        low=0.001,
        high=1.0,
        neutral=1.0,
        fires="batch_full",
        source="openai/parameter-golf, record of 2026-03-24 (BATCH_TOKENS_START)",
    )
    batch_ramp_ratio: float = lever(
        0.33,
        "Share of the budget after which the batch is whole.",
        low=0.0,
        high=1.0,
        needs="batch.batch_start",
        aliases=("BATCH_SCHEDULE_FRACTION",),
        source="openai/parameter-golf, record of 2026-03-24",
    )
    length_start: str = lever(
        "1",
        "Length of training rows at the start, as a share of the context; it doubles step by step, tokens a step stay.",
        choices=LENGTH_STARTS,
        neutral="1",
        fires="length_full",
        source="SPThole/parameter-golf-experimentations (prose)",
    )
    length_ramp_ratio: float = lever(
        0.5,
        "Share of the budget after which rows have full length; the doublings are evenly spaced up to it.",
        low=0.0,
        high=1.0,
        needs="batch.length_start",
        source=LAB,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What training minimises. What is reported and evaluated stays the plain cross-entropy."""

    ignore_token: int = lever(
        -1,
        "Targets with this id are left out of the loss. -1: none.",
        low=-1,
        high=65535,
        neutral=-1,
        aliases=("IGNORE_INDEX",),
        source="SPThole/parameter-golf-experimentations (C39)",
    )
    label_smoothing: float = lever(
        0.0,
        "Share of the target's probability that is spread over the vocabulary.",
        low=0.0,
        high=0.9,
        neutral=0.0,
        source="Szegedy et al. 2016, arXiv 1512.00567",
    )
    focal_gamma: float = lever(
        0.0,
        "Token losses are multiplied by (1 - p)^gamma, p the probability of the target, not detached.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source="Lin et al. 2017, arXiv 1708.02002",
    )
    word_start_weight: float = lever(
        1.0,
        "Weight of targets that begin a word; weights are normalised over the step.",
        low=0.0,
        high=10.0,
        neutral=1.0,
        source="SPThole/parameter-golf-experimentations (C42)",
    )
    word_start_ramp_from: float = lever(
        1.0,
        "Factor on the weight of word starts at the beginning; it goes linearly to 1 over the budget.",
        low=0.0,
        high=10.0,
        neutral=1.0,
        source="SPThole/parameter-golf-experimentations (C43)",
    )
    suffix_weight: float = lever(
        1.0,
        "Weight of targets of up to three bytes of letters that go on with a word.",
        low=0.0,
        high=10.0,
        neutral=1.0,
        source="SPThole/parameter-golf-experimentations (C42)",
    )
    position_weight: float = lever(
        1.0,
        "Weight at the end of a row; from 1 at its beginning it goes linearly.",
        low=0.0,
        high=10.0,
        neutral=1.0,
        source="SPThole/parameter-golf-experimentations (C44)",
    )
    mile_gamma: float = lever(
        0.0,
        "Tokens weigh (1 + entropy of the prediction)^gamma, normalised over the row (MiLe).",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source="Su et al. 2024, arXiv 2310.19531",
    )
    z_loss: float = lever(
        0.0,
        "Weight of the squared log-sum-exp of the capped logits.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        source="Chowdhery et al. 2022, arXiv 2204.02311",
    )
    sentence_end_weight: float = lever(
        1.0,
        "Weight of the target that follows the end of a sentence.",
        low=0.0,
        high=10.0,
        neutral=1.0,
        source="SPThole/parameter-golf-experimentations (C47)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """Which weights are evaluated in the end: the last ones, or an average."""

    kind: str = lever(
        "none",
        "The last weights; their exponential moving average; the mean of snapshots taken while rates are low (SWA); "
        "or that of the last few snapshots (LAWA).",
        choices=AVERAGES,
        neutral="none",
        fires="averaging_started",
        source="openai/parameter-golf, records of 2026-03; Kaddour 2022, arXiv 2209.14981",
    )
    ema_decay: float = lever(
        0.99,
        "Decay a step of the moving average.",
        low=0.0,
        high=0.99999,
        needs="averaging.kind=ema",
        aliases=("EMA_DECAY",),
        source="openai/parameter-golf, record of 2026-03-21",
    )
    ema_every: int = lever(
        1,
        "Steps between two updates of the moving average; the decay is taken to this power.",
        low=1,
        high=10000,
        unit="steps",
        needs="averaging.kind=ema",
        aliases=("EMA_EVERY",),
        source="openai/parameter-golf, record of 2026-03-21",
    )
    ema_debias: bool = lever(
        False,
        "Whether the initial weights are taken out of the moving average.",
        needs="averaging.kind=ema",
        source=LAB,
    )
    swa_start: float = lever(
        0.4,
        "Snapshots are taken in the warm-down once the factor on learning rates is at most this.",
        low=0.0,
        high=1.0,
        needs="averaging.kind=swa",
        aliases=("SWA_START_FRAC",),
        source="openai/parameter-golf, record of 2026-03-20",
    )
    snapshot_every: int = lever(
        100,
        "Steps between two snapshots.",
        low=1,
        high=100000,
        unit="steps",
        needs="averaging.kind=swa|lawa",
        aliases=("SWA_EVERY",),
        source="openai/parameter-golf, record of 2026-03-20",
    )
    lawa_snapshots: int = lever(
        10,
        "How many of the last snapshots are averaged.",
        low=1,
        high=100,
        needs="averaging.kind=lawa",
        source="Kaddour 2022, arXiv 2209.14981",
    )
