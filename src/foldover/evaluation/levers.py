"""Levers of evaluation: what is done with a trained model, without training it anew. No torch.

Names in capitals that are accepted too are those of the public golf scripts. With every lever at its neutral value the
score is the plain `val_bpb`, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import LeverSet, lever, levers_of

GOLF = "openai/parameter-golf"
SHULTZ = "JusticeShultz/parameter-golf, train_gpt.py"
SCOPES = ("blocks", "all")
NAMES = r"[a-z_0-9.]+(,[a-z_0-9.]+)*"
NUMBERS = r"none|[1-9][0-9]*(,[1-9][0-9]*)*"
PHASED = f"{GOLF}, records from 2026-04-13 on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """From the windows that the model reads to what is mixed into its distribution and how it learns on the way."""

    mode: str = lever(
        "plain",
        "Windows one after another, where a token sees half a context on average, or sliding ones, where it sees "
        "nearly all of it.",
        choices=("plain", "sliding"),
        neutral="plain",
        phase="evaluate",
        source=GOLF,
    )
    eval_context: int = lever(
        0,
        "Longest context at evaluation; 0: that of training. Beyond that of training, positions are extrapolated.",
        low=0,
        high=2**20,
        neutral=0,
        unit="tokens",
        phase="evaluate",
        aliases=("EVAL_SEQ_LEN", "TTT_EVAL_SEQ_LEN"),
        source=GOLF,
    )
    stride: int = lever(
        64,
        "From one sliding window to the next: so many tokens are scored in each but the first.",
        low=1,
        high=2**20,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.mode=sliding",
        aliases=("EVAL_STRIDE",),
        source=GOLF,
    )
    isolation: str = lever(
        "none",
        "What context may reach across: anything before, or only the token's own document.",
        choices=("none", "document"),
        neutral="none",
        phase="evaluate",
        source=f"{GOLF}, record of 2026-04-10",
    )
    temperature: float = lever(
        1.0,
        "Logits are divided by this before the softmax. To be chosen on training tokens.",
        low=0.1,
        high=10.0,
        neutral=1.0,
        phase="evaluate",
        aliases=("EVAL_TEMP",),
        source=GOLF,
    )
    fitted_temperature: bool = lever(
        False,
        "Whether the temperature is fitted to training tokens instead; `temperature` then does nothing.",
        neutral=False,
        phase="evaluate",
        source=GOLF,
    )
    cache_weight: float = lever(
        0.0,
        "Bonus on the logits of the latest tokens, divided by how far back each is.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        phase="evaluate",
        aliases=("EVAL_CACHE_MIX_WEIGHT",),
        source=SHULTZ,
    )
    bigram_weight: float = lever(
        0.0,
        "Bonus on the logits of tokens that followed the last token, where it came up before.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        phase="evaluate",
        aliases=("EVAL_BIGRAM_MIX_WEIGHT",),
        source=SHULTZ,
    )
    cache_size: int = lever(
        16,
        "How far back the two bonuses look.",
        low=1,
        high=4096,
        unit="tokens",
        phase="evaluate",
        aliases=("EVAL_CACHE_SIZE",),
        source=SHULTZ,
    )
    cache_form: str = lever(
        "corrected",
        "The bonuses as meant, or as the public script has them: a token late, blind to the newest one.",
        choices=("corrected", "public"),
        phase="evaluate",
        source=f"public: {SHULTZ}",
    )
    ngram_weight: float = lever(
        0.0,
        "Share of the probability that goes by counts of what followed the same tokens before.",
        low=0.0,
        high=0.99,
        neutral=0.0,
        phase="evaluate",
        source=GOLF,
    )
    ngram_tilt: float = lever(
        0.0,
        "Added to the logit of the token that followed the same tokens most often before (public: 2).",
        low=0.0,
        high=20.0,
        neutral=0.0,
        phase="evaluate",
        source=GOLF,
    )
    ngram_order: int = lever(
        3,
        "Longest n-gram counted; where its beginning is new, shorter ones are asked, down to pairs.",
        low=2,
        high=32,
        phase="evaluate",
        source=GOLF,
    )
    tap_in_weight: float = lever(
        0.0,
        "Base share of the probability that goes to the token after an earlier match of the latest tokens, within "
        "the window (Tap-In; public: .02).",
        low=0.0,
        high=0.99,
        neutral=0.0,
        phase="evaluate",
        source=f"{GOLF}, pull request 1518",
    )
    tap_in_far_weight: float = lever(
        0.06,
        "The same for matches before the window, which the model cannot see.",
        low=0.0,
        high=0.99,
        phase="evaluate",
        needs="evaluate.tap_in_weight",
        source=f"{GOLF}, pull request 1518",
    )
    tap_in_shortest: int = lever(
        3,
        "Shortest match.",
        low=1,
        high=1000,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.tap_in_weight",
        source=f"{GOLF}, pull request 1518",
    )
    tap_in_longest: int = lever(
        100,
        "Length beyond which a match counts as no longer.",
        low=1,
        high=100000,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.tap_in_weight",
        source=f"{GOLF}, pull request 1518",
    )
    tap_in_cap: float = lever(
        0.5,
        "Largest share that a match may get.",
        low=0.0,
        high=0.99,
        phase="evaluate",
        needs="evaluate.tap_in_weight",
        source=f"{GOLF}, pull request 1518",
    )
    tap_in_candidates: int = lever(
        1000,
        "Matches followed at a time, the latest first.",
        low=1,
        high=100000,
        phase="evaluate",
        needs="evaluate.tap_in_weight",
        source=f"{GOLF}, pull request 1518",
    )
    adapt: str = lever(
        "none",
        "Whether the model learns from tokens that were scored: its weights by SGD, or low-rank additions to them, "
        "for each document anew.",
        choices=("none", "sgd", "lora"),
        neutral="none",
        phase="evaluate",
        fires="adapted_in_evaluation",
        source=f"{GOLF}, pull requests 461 and 549, record of 2026-03-17",
    )
    adapt_seconds: float = lever(
        600.0,
        "Time for the adapted pass; when it has run out, the rest is scored unadapted.",
        low=0.0,
        high=1e6,
        unit="seconds",
        phase="evaluate",
        needs="evaluate.adapt=sgd|lora",
        source=GOLF,
    )
    adapt_chunk: int = lever(
        32768,
        "Tokens scored before each round of SGD; windows are scored in batches that end where a chunk does.",
        low=1,
        high=2**40,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_CHUNK_TOKENS",),
        source=GOLF,
    )
    adapt_lr: float = lever(
        0.002,
        "Learning rate of the first round; it falls to zero by a half cosine over the rounds.",
        low=0.0,
        high=10.0,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_LR",),
        source=GOLF,
    )
    adapt_epochs: int = lever(
        3,
        "Passes over a chunk in its round.",
        low=1,
        high=1000,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_EPOCHS",),
        source=GOLF,
    )
    adapt_momentum: float = lever(
        0.9,
        "Momentum of SGD, which lasts from chunk to chunk.",
        low=0.0,
        high=0.999,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_MOMENTUM",),
        source=GOLF,
    )
    frozen_blocks: int = lever(
        0,
        "First blocks that SGD leaves as they are.",
        low=0,
        high=1000,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_FREEZE_BLOCKS",),
        source=GOLF,
    )
    adapt_scope: str = lever(
        "blocks",
        "What SGD changes: the blocks that are not frozen, or tables, head and the rest too.",
        choices=SCOPES,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        source=GOLF,
    )
    adapt_grad_clip: float = lever(
        1.0,
        "Largest norm of a gradient of SGD.",
        low=1e-6,
        high=1e6,
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_GRAD_CLIP",),
        source=GOLF,
    )
    adapt_batch: int = lever(
        32,
        "Rows in a step of SGD.",
        low=1,
        high=100000,
        unit="rows",
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        aliases=("TTT_BATCH_SEQS",),
        source=GOLF,
    )
    adapt_reset: str = lever(
        "stream",
        "When SGD begins anew from the trained weights: at the beginning alone, or at each document.",
        choices=("stream", "document"),
        phase="evaluate",
        needs="evaluate.adapt=sgd",
        source="foldover",
    )
    lora_rank: int = lever(
        8,
        "Rank of the additions.",
        low=1,
        high=4096,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_LORA_RANK",),
        source=f"{GOLF}, record of 2026-03-17",
    )
    lora_alpha: float = lever(
        8.0,
        "The additions are multiplied by this over their rank.",
        low=0.0,
        high=1e6,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_LORA_ALPHA",),
        source=f"{GOLF}, record of 2026-04-13",
    )
    lora_lr: float = lever(
        0.01,
        "Learning rate of the additions.",
        low=0.0,
        high=10.0,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_LORA_LR",),
        source=f"{GOLF}, record of 2026-03-17",
    )
    lora_chunk: int = lever(
        256,
        "Tokens of a document scored before each step.",
        low=1,
        high=2**20,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_CHUNK_SIZE",),
        source=f"{GOLF}, record of 2026-03-17",
    )
    lora_beta1: float = lever(
        0.9,
        "Adam's first decay (0 in later records).",
        low=0.0,
        high=0.999,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_BETA1",),
        source=f"{GOLF}, record of 2026-04-13",
    )
    lora_beta2: float = lever(
        0.95,
        "Adam's second decay (.99 to .999 in later records).",
        low=0.0,
        high=0.99999,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_BETA2",),
        source=f"{GOLF}, record of 2026-03-17",
    )
    lora_weight_decay: float = lever(
        0.0,
        "Decoupled decay of the additions (.5 in later records).",
        low=0.0,
        high=1000.0,
        neutral=0.0,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_WEIGHT_DECAY",),
        source=f"{GOLF}, record of 2026-04-13",
    )
    lora_targets: str = lever(
        "query,value,head",
        "Matrices that get an addition: words in their names.",
        pattern=NAMES,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        source=f"{GOLF}, record of 2026-03-17",
    )
    lora_reset: str = lever(
        "document",
        "What a document begins with: additions as at first, or those whose inner matrix keeps what it learned (warm).",
        choices=("document", "warm"),
        phase="evaluate",
        needs="evaluate.adapt=lora",
        source=f"{GOLF}, records of 2026-03-17 and 2026-04-13",
    )
    lora_batch: int = lever(
        1,
        "Documents that learn side by side, each its own additions: those of like length together or, if warm, as "
        "they come, the inner matrix of each handed on to the next group. Scores are those of one by one unless warm.",
        low=1,
        high=100000,
        unit="documents",
        phase="evaluate",
        needs="evaluate.adapt=lora",
        aliases=("TTT_BATCH_SIZE",),
        source=f"{GOLF}, record of 2026-03-17",
    )
    phase_documents: str = lever(
        "none",
        "Numbers of documents, rising: when so many are scored, SGD on all of them changes the weights for those to "
        "come (public: 833,1666,2500).",
        neutral="none",
        pattern=NUMBERS,
        phase="evaluate",
        needs="evaluate.adapt=lora",
        source=PHASED,
    )
    phase_lr: float = lever(
        0.001,
        "Learning rate at the beginning of each phase; it falls to zero by a half cosine over the phase's chunks.",
        low=0.0,
        high=10.0,
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_LR",),
        source=PHASED,
    )
    phase_epochs: int = lever(
        1,
        "Passes over a chunk in a phase.",
        low=1,
        high=1000,
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_EPOCHS",),
        source=PHASED,
    )
    phase_chunk: int = lever(
        32768,
        "Tokens of a phase that are learned at one rate.",
        low=1,
        high=2**40,
        unit="tokens",
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_CHUNK_TOKENS",),
        source=PHASED,
    )
    phase_batch: int = lever(
        32,
        "Rows in a step of a phase.",
        low=1,
        high=100000,
        unit="rows",
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_BATCH_SEQS",),
        source=PHASED,
    )
    phase_momentum: float = lever(
        0.9,
        "Momentum within a phase.",
        low=0.0,
        high=0.999,
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_MOMENTUM",),
        source=PHASED,
    )
    phase_grad_clip: float = lever(
        1.0,
        "Largest norm of a gradient of a phase.",
        low=1e-6,
        high=1e6,
        phase="evaluate",
        needs="evaluate.phase_documents",
        aliases=("GLOBAL_TTT_GRAD_CLIP",),
        source=PHASED,
    )
    phase_scope: str = lever(
        "all",
        "What a phase changes: the blocks alone, or tables, head and the rest too.",
        choices=SCOPES,
        phase="evaluate",
        needs="evaluate.phase_documents",
        source=PHASED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """The levers of evaluation on their own, named as in a whole recipe."""

    evaluate: Evaluate


EVALUATE_LEVERS: LeverSet = levers_of(EvaluateConfig)
