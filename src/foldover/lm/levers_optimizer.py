"""Levers of the optimiser.

Part of the catalogue that `foldover.lm.levers` puts together. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever

AUTORESEARCH = "karpathy/autoresearch 228791f"
GOLF = "openai/parameter-golf, train_gpt.py"
MOMENTUM_FORMS = ("ema", "classic")
ORTHOGONALIZATIONS = ("polar_express", "polar_express_golf", "quintic_golf")
UPDATE_SCALES = ("tall", "ratio", "rms")
DECAY_FORMS = ("cautious", "plain")
META_ROWS = ("halves", "same")
META_RATES = ("fixed", "learned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """MuonAdamW: Muon for the matrices of the blocks, AdamW for everything else."""

    matrix_lr: float = lever(
        0.04, "Muon's learning rate.", low=1e-6, high=1.0, scale="log", source=AUTORESEARCH, aliases=("MATRIX_LR",)
    )
    embedding_lr: float = lever(
        0.6,
        "AdamW's learning rate of token and value embeddings, before the width rule.",
        low=1e-6,
        high=10.0,
        scale="log",
        source=AUTORESEARCH,
        aliases=("EMBEDDING_LR", "EMBED_LR"),
    )
    tied_embedding_lr: float = lever(
        0.0,
        "The same of the token table where it is the head, too; 0: embedding_lr.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        needs="head.tied",
        source=GOLF,
        aliases=("TIED_EMBED_LR",),
    )
    unembedding_lr: float = lever(
        0.004,
        "AdamW's learning rate of the output head, before the width rule.",
        low=1e-6,
        high=1.0,
        scale="log",
        source=AUTORESEARCH,
        aliases=("UNEMBEDDING_LR", "HEAD_LR"),
    )
    scalar_lr: float = lever(
        0.5,
        "AdamW's learning rate of the x0 scalars, and of the others before their share.",
        low=1e-6,
        high=10.0,
        scale="log",
        source=AUTORESEARCH,
        aliases=("SCALAR_LR",),
    )
    scalar_lr_share: float = lever(
        0.01,
        "Learning rate of residual scalars, as a share of scalar_lr (parameter-golf: 1).",
        low=1e-4,
        high=10.0,
        neutral=1.0,
        scale="log",
        source=AUTORESEARCH,
    )
    width_exponent: float = lever(
        -0.5,
        "Rates of embeddings and head are multiplied by (width / 768) to this power.",
        low=-2.0,
        high=2.0,
        neutral=0.0,
        source=AUTORESEARCH,
    )
    adam_beta1: float = lever(
        0.8, "AdamW's first-moment decay, but for the x0 scalars.", low=0.0, high=0.9999, source=AUTORESEARCH
    )
    x0_beta1: float = lever(
        0.96, "AdamW's first-moment decay of the x0 scalars.", low=0.0, high=0.9999, source=AUTORESEARCH
    )
    adam_beta2: float = lever(0.95, "AdamW's second-moment decay.", low=0.0, high=0.99999, source=AUTORESEARCH)
    adam_eps: float = lever(
        1e-10,
        "Added to the root of AdamW's second moment (parameter-golf: 1e-8).",
        low=1e-16,
        high=1e-2,
        scale="log",
        source=AUTORESEARCH,
    )
    adam_weight_decay: float = lever(
        0.0,
        "Decoupled decay of embeddings and head; scalars have none. It tapers as weight_decay does.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source="openai/parameter-golf, records of 2026-04",
        aliases=("ADAM_WD", "EMBED_WD"),
    )
    momentum: float = lever(
        0.95, "Muon's momentum after its warm-up.", low=0.0, high=0.999, source=AUTORESEARCH, aliases=("MUON_MOMENTUM",)
    )
    momentum_start: float = lever(0.85, "Muon's momentum at step 0.", low=0.0, high=0.999, source=AUTORESEARCH)
    momentum_warmup: int = lever(
        300,
        "Steps over which Muon's momentum rises linearly.",
        low=0,
        high=100000,
        unit="steps",
        neutral=0,
        source=AUTORESEARCH,
    )
    momentum_cycle: int = lever(
        0,
        "Half a period of a triangle wave of Muon's momentum, after its warm-up: low at step 0 and at multiples of "
        "the period, `momentum` half-way. 0: no wave.",
        low=0,
        high=100000,
        unit="steps",
        neutral=0,
        fires="momentum_cycle_started",
        source="openai/parameter-golf, pull request 363",
    )
    momentum_cycle_low: float = lever(
        0.85,
        "Lowest momentum of the wave.",
        low=0.0,
        high=0.999,
        needs="optimizer.momentum_cycle",
        source="openai/parameter-golf, pull request 363",
    )
    momentum_form: str = lever(
        "ema",
        "Muon's momentum as a moving average, or as a decaying sum (classic); one and the same while it is constant.",
        choices=MOMENTUM_FORMS,
        source=f"{AUTORESEARCH}; {GOLF}",
    )
    nesterov: bool = lever(True, "Whether Muon's momentum looks ahead.", neutral=False, source=AUTORESEARCH)
    row_normalize: bool = lever(
        False,
        "Rows of the gradient to length 1 before they are orthogonalised (MuonEq-R).",
        neutral=False,
        source="openai/parameter-golf, record of 2026-04-03",
        aliases=("MUON_ROW_NORMALIZE",),
    )
    orthogonalization: str = lever(
        "polar_express",
        "Polynomials that orthogonalise Muon's update: Polar Express, with the coefficients of autoresearch or of "
        "parameter-golf's record of 2026-04-06, or the quintic of the first Muon.",
        choices=ORTHOGONALIZATIONS,
        source="arXiv 2505.16932; Jordan et al. 2024",
        aliases=("MUON_NS",),
    )
    orthogonal_steps: int = lever(
        5, "How many of those polynomials.", low=1, high=5, source=AUTORESEARCH, aliases=("MUON_BACKEND_STEPS",)
    )
    normuon: bool = lever(
        True, "Even out the lines of each update (NorMuon).", neutral=False, source="arXiv 2510.05491"
    )
    muon_beta2: float = lever(
        0.95,
        "Decay of the per-line second moment (NorMuon).",
        low=0.0,
        high=0.9999,
        needs="optimizer.normuon",
        aliases=("MUON_BETA2",),
        source="arXiv 2510.05491",
    )
    update_scale: str = lever(
        "tall",
        "Factor on Muon's update of an r x c matrix: sqrt(max(1, r / c)), sqrt(r / c), or 0.2 sqrt(max(r, c)).",
        choices=UPDATE_SCALES,
        source=f"{AUTORESEARCH}; arXiv 2502.16982",
        aliases=("MUON_SCALE",),
    )
    weight_decay: float = lever(
        0.2,
        "Decay of the matrices at the start.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source=AUTORESEARCH,
        aliases=("WEIGHT_DECAY", "MUON_WD"),
    )
    decay_form: str = lever(
        "cautious",
        "Decay of matrices where update and weight agree in sign only, by the scaled rate; or plain, by the rate.",
        choices=DECAY_FORMS,
        source=AUTORESEARCH,
    )
    decay_taper_start: float = lever(
        0.0, "Share of the budget after which decay tapers linearly.", low=0.0, high=0.99, source=AUTORESEARCH
    )
    decay_final_fraction: float = lever(
        0.0,
        "Decay at the end, as a fraction of that at the start.",
        low=0.0,
        high=1.0,
        neutral=1.0,
        source=AUTORESEARCH,
    )
    clip_norm: float = lever(
        0.0,
        "Gradients are scaled down to this global norm before the optimiser. 0: never.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        fires="gradient_clipped",
        source=GOLF,
        aliases=("GRAD_CLIP_NORM",),
    )
    meta_ttt: float = lever(
        0.0,
        "Weight of a second gradient, taken where one step of test-time training on half of the rows has led, on "
        "the other half (first-order MAML).",
        low=0.0,
        high=10.0,
        neutral=0.0,
        fires="meta_ttt",
        source="openai/parameter-golf, pull requests 1501, 1502, 1601 (prose)",
    )
    meta_ttt_every: int = lever(
        4,
        "Steps from one with that gradient to the next.",
        low=1,
        high=10000,
        unit="steps",
        needs="optimizer.meta_ttt",
        aliases=("META_TTT_EVERY",),
        source="openai/parameter-golf, pull request 1501",
    )
    meta_ttt_lr: float = lever(
        0.002,
        "Rate of the step of test-time training, on Muon's matrices.",
        low=0.0,
        high=1.0,
        needs="optimizer.meta_ttt",
        source="openai/parameter-golf, pull request 1501",
    )
    meta_ttt_rates: str = lever(
        "fixed",
        "Whether every matrix takes that step at that rate, or at one of its own, which begins there and is learned "
        "(MetaSGD).",
        choices=META_RATES,
        neutral="fixed",
        needs="optimizer.meta_ttt",
        source="Li et al. 2017, arXiv 1707.09835; openai/parameter-golf, pull request 1601 (prose)",
    )
    meta_ttt_rates_lr: float = lever(
        0.001,
        "Rate at which they are learned: they go so far along the product of the two gradients of their matrix, times "
        "the weight of the second.",
        low=0.0,
        high=100.0,
        needs="optimizer.meta_ttt_rates=learned",
        source="foldover",
    )
    meta_ttt_rows: str = lever(
        "halves",
        "Whether the two halves of the rows take the two parts, or all rows both.",
        choices=META_ROWS,
        needs="optimizer.meta_ttt",
        source="openai/parameter-golf, pull request 1501",
    )
    meta_ttt_delta: float = lever(
        0.0,
        "Weight of the gradient of what that step gains on the other rows: the loss after it less the loss before.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        needs="optimizer.meta_ttt",
        source="openai/parameter-golf, pull request 1601 (prose)",
    )
    meta_ttt_radius: float = lever(
        0.0,
        "The step follows the gradient found this far up the slope, in the norm of all matrices together (SAM).",
        low=0.0,
        high=10.0,
        neutral=0.0,
        needs="optimizer.meta_ttt",
        source="Foret et al. 2021, arXiv 2010.01412; openai/parameter-golf, pull request 1601 (prose)",
    )
