"""Levers of what enters the blocks, what leaves them, and of the weights before the first step.

Names in capitals are those of the public runs. What is marked [lab] has no public definition: the one here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever
from foldover.lm.levers_blocks import AUTORESEARCH, GOLF


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What enters the first block."""

    factor_dim: int = lever(
        0,
        "Width of a factorised token table: x = W norm(E[id]); 0: the model's width, no W.",
        low=0,
        high=4096,
        neutral=0,
        source="parameter-golf PR 1394",
        aliases=("EMBED_DIM",),
    )
    factor_form: str = lever(
        "separate",
        "The head comes down by a matrix of its own, or by the transpose of W.",
        choices=("separate", "transposed"),
        needs="embedding.factor_dim",
        source="parameter-golf PR 1394; JusticeShultz/parameter-golf train_gpt.py",
    )
    bigram_buckets: int = lever(
        0,
        "Rows of a table that hashes of the last tokens look up, added to the token's embedding; 0: none.",
        low=0,
        high=2**24,
        neutral=0,
        source="parameter-golf record of 2026-03-20",
        aliases=("BIGRAM_VOCAB_SIZE",),
    )
    bigram_dim: int = lever(
        128,
        "Its width.",
        low=3,
        high=1024,
        needs="embedding.bigram_buckets",
        source="parameter-golf record of 2026-03-20",
        aliases=("BIGRAM_DIM",),
    )
    bigram_scale: float = lever(
        0.05,
        "Learned factor on what it gives, at first.",
        low=1e-4,
        high=10.0,
        scale="log",
        needs="embedding.bigram_buckets",
        source="parameter-golf record of 2026-03-20",
    )
    bigram_orders: str = lever(
        "bigram",
        "Tokens that are hashed: two; two and three, summed, from one table or two; one to five, averaged; one to "
        "three, a slice of the width each; or the last four bytes, across tokens.",
        choices=("bigram", "trigram", "separate_trigram", "engram", "engram_slices", "byte_window"),
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp10 to exp17",
    )
    bigram_hash: str = lever(
        "xor",
        "xor of 36313 id and 27191 previous; 31 previous + id; 92821 previous + id; or a row for every pair.",
        choices=("xor", "linear31", "linear92821", "exact"),
        needs="embedding.bigram_buckets",
        source="parameter-golf records of 2026-03 and 2026-04",
    )
    bigram_heads: int = lever(
        1,
        "Hash functions a lookup, averaged.",
        low=1,
        high=8,
        neutral=1,
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp13",
    )
    bigram_gate: bool = lever(
        False,
        "What it gives is multiplied by sigmoid(w x + b), b 4 at first [lab].",
        neutral=False,
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp13",
    )
    bigram_place: str = lever(
        "before_norm",
        "Added before the first norm or after it.",
        choices=("before_norm", "after_norm"),
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp80",
    )
    bigram_split: bool = lever(
        False,
        "Tokens that start a word and others have halves of the table of their own.",
        neutral=False,
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp101",
    )
    word_start_boost: bool = lever(
        False,
        "A learned factor, 1 at first, on what it gives where a word starts.",
        neutral=False,
        needs="embedding.bigram_buckets",
        source="SPThole/parameter-golf-experimentations exp09",
        aliases=("WORD_START_BOOST",),
    )
    token_type: bool = lever(
        False,
        "A learned embedding of the token's kind, of seven (word start, other letters, digit, punctuation, space, "
        "other bytes, special), zero at first.",
        neutral=False,
        source="SPThole/parameter-golf-experimentations exp29b",
        aliases=("TOKEN_TYPE",),
    )
    smear: str = lever(
        "none",
        "Each token's embedding receives some of the one before: a learned share a channel after the norm, or "
        "lambda sigmoid(w x[:12]) of it before the norm, 0 at first and never across documents.",
        choices=("none", "channel", "gate"),
        neutral="none",
        source="parameter-golf record of 2026-03-19; PR 1667",
        aliases=("SMEAR",),
    )
    smear_share: float = lever(
        0.5,
        "The share of the token before, at first.",
        low=0.001,
        high=0.999,
        needs="embedding.smear=channel",
        source="parameter-golf record of 2026-03-19",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What leaves the last block, and what is learned beside the next token."""

    tied: bool = lever(False, "The head is the token table.", neutral=False, source=GOLF)
    low_rank: int = lever(
        0,
        "Rank of a correction ahead of the table, x + U V x, U zero at first; 0: none [lab].",
        low=0,
        high=512,
        neutral=0,
        source="SPThole/parameter-golf-experimentations exp119",
    )
    output_bias: bool = lever(
        False,
        "A learned bias a token, 0 at first, before the softcap.",
        neutral=False,
        source="SPThole/parameter-golf-experimentations exp71",
        aliases=("OUT_BIAS",),
    )
    unigram_bias: bool = lever(
        False,
        "a log f(v) is added to logits, f the training frequency, a learned, 0 at first.",
        neutral=False,
        source="SPThole/parameter-golf-experimentations exp08",
    )
    context_bias: bool = lever(
        False,
        "a log(1 + times v has come in the row) is added to logits, a learned, 0 at first.",
        neutral=False,
        source="SPThole/parameter-golf-experimentations exp08",
    )
    copy: str = lever(
        "none",
        "A learned share of the probability goes to tokens of the row: by attention over what followed, or by "
        "frequency [lab].",
        choices=("none", "attention", "frequency"),
        neutral="none",
        source="SPThole/parameter-golf-experimentations exp90",
        aliases=("COPY_HEAD",),
    )
    copy_bias: float = lever(
        -4.0,
        "The share is sigmoid(w x + b): b at first.",
        low=-30.0,
        high=4.0,
        needs="head.copy",
        source="SPThole/parameter-golf-experimentations exp90",
    )
    mtp_heads: int = lever(
        0,
        "Heads of their own that predict the second next token, the third, ...; training only.",
        low=0,
        high=8,
        neutral=0,
        source="arXiv 2404.19737; parameter-golf record of 2026-03-25",
        aliases=("MTP_NUM_HEADS",),
    )
    mtp_weight: float = lever(
        0.2,
        "Weight of their mean loss.",
        low=0.0,
        high=10.0,
        needs="head.mtp_heads",
        source="parameter-golf record of 2026-03-25",
        aliases=("MTP_LOSS_WEIGHT",),
    )
    jepa_weight: float = lever(
        0.0,
        "Weight of the squared error with which a linear predictor meets a fixed random code of the next pair of "
        "tokens; training only.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source="SPThole/parameter-golf-experimentations exp16",
        aliases=("JEPA_WEIGHT",),
    )
    boundary_weight: float = lever(
        0.0,
        "Weight of the loss of a linear prediction whether the next token starts a word; training only.",
        low=0.0,
        high=10.0,
        neutral=0.0,
        source="SPThole/parameter-golf-experimentations",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """Weights before the first step."""

    matrices: str = lever(
        "uniform",
        "Matrices that read the stream: uniform within sqrt(3 / width); within 1 / sqrt(inputs), torch's default; or "
        "orthogonal. Those that write to it are zero.",
        choices=("uniform", "fan_in", "orthogonal"),
        neutral="uniform",
        source=AUTORESEARCH + "; " + GOLF,
        aliases=("ORTHO_INIT",),
    )
    embedding_std: float = lever(
        1.0,
        "Spread of the token table.",
        low=1e-5,
        high=10.0,
        scale="log",
        source=AUTORESEARCH,
        aliases=("TIED_EMBED_INIT_STD",),
    )
    head_std: float = lever(
        0.001,
        "Spread of an untied head.",
        low=1e-6,
        high=1.0,
        scale="log",
        source=AUTORESEARCH,
        needs="head.tied=False",
    )
    output_bias: str = lever(
        "zero",
        "Where the bias of the logits begins: at 0, or at the log of the tokens' training frequencies.",
        choices=("zero", "log_unigram"),
        neutral="zero",
        needs="head.output_bias",
        source="SPThole/parameter-golf-experimentations exp71",
    )
    table: str = lever(
        "normal",
        "The token table: drawn, or the leading singular vectors of the log counts of neighbouring tokens, at the "
        "same spread [lab].",
        choices=("normal", "svd"),
        neutral="normal",
        source="SPThole/parameter-golf-experimentations exp87",
    )
    cooccurrence_qk: bool = lever(
        False,
        "The first block's queries and keys begin with the singular vectors of the counts of neighbouring tokens, "
        "seen through the token table.",
        neutral=False,
        source="parameter-golf PR 623",
        aliases=("COOC_QK",),
    )
