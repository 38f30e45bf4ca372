"""Levers of attention, as `levers_blocks` has those of the rest of a block."""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever
from foldover.lm.levers_blocks import AUTORESEARCH, GOLF, MAX_DEPTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What attention sees, and what is done to its queries, values and outputs."""

    kv_heads: int = lever(
        0,
        "Heads of keys and values, a divisor of the heads; 0: as many (Ainslie et al. 2023, arXiv 2305.13245).",
        low=0,
        high=64,
        neutral=0,
        source=GOLF,
        aliases=("NUM_KV_HEADS",),
    )
    window_size: int = lever(
        0,
        "Keys that every block sees at most, the query's own included; 0: no bound.",
        low=0,
        high=65536,
        neutral=0,
        unit="tokens",
        source="JusticeShultz/parameter-golf train_gpt.py",
        aliases=("WINDOW_SIZE",),
    )
    within_documents: bool = lever(
        False,
        "What reaches a position from earlier ones ends where its document begins, at a BOS: attention, smeared "
        "embeddings, hashed n-grams, copies and counts, in training and whenever the model is evaluated. FLOPs are "
        "counted as without it.",
        neutral=False,
        is_later=True,
        fires="documents_kept_apart",
        source=f"{GOLF}, record of 2026-04-10",
        aliases=("VARLEN",),
    )
    rope_dims: int = lever(
        0,
        "Dimensions of a head that are rotated, the first ones; 0: all.",
        low=0,
        high=512,
        multiple_of=2,
        neutral=0,
        source="parameter-golf record of 2026-03-21",
        aliases=("ROPE_DIMS",),
    )
    rope_odd_factor: float = lever(
        1.0,
        "The rotary base of odd blocks is rope_base times this.",
        low=1e-4,
        high=1e4,
        neutral=1.0,
        scale="log",
        source="SPThole/parameter-golf-experimentations exp33b",
    )
    ntk_context: int = lever(
        0,
        "Rows longer than this raise the rotary base by (T / this) ^ (r / (r - 2)), r dimensions rotated; 0: never.",
        low=0,
        high=65536,
        neutral=0,
        unit="tokens",
        source=GOLF,
    )
    long_rows: str = lever(
        "ntk",
        "How the frequencies of longer rows change: all by the base (NTK), or by wavelength, long ones stretched by "
        "T / ntk_context, short ones kept (YaRN, without its temperature: queries have a gain of their own).",
        choices=("ntk", "yarn"),
        needs="attention.ntk_context",
        source="arXiv 2309.00071",
    )
    qk_norm: str = lever(
        "after_rotary",
        "Whether queries and keys are normed after they are rotated, or before.",
        choices=("after_rotary", "before_rotary"),
        source=AUTORESEARCH,
    )
    qk_gain: float = lever(
        1.0,
        "Factor on queries after norm and rotary.",
        low=0.05,
        high=32.0,
        neutral=1.0,
        scale="log",
        source=GOLF,
        aliases=("QK_GAIN_INIT",),
    )
    qk_gain_learned: bool = lever(
        False, "The factor on queries is learned, one a head, from qk_gain on.", neutral=False, source=GOLF
    )
    qk_gain_spread: float = lever(
        0.0,
        "The factors of a block's heads are spread evenly over qk_gain plus and minus this [lab].",
        low=0.0,
        high=31.0,
        neutral=0.0,
        source="SPThole/parameter-golf-experimentations exp74",
    )
    xsa_last_n: int = lever(
        0,
        "In that many last blocks outputs lose their component along the position's own value.",
        low=0,
        high=MAX_DEPTH,
        neutral=0,
        source="arXiv 2603.09078",
        aliases=("XSA_LAST_N",),
    )
    xsa_form: str = lever(
        "full",
        "All of that component, or tanh(a) of it, a learned a block and 0 at first.",
        choices=("full", "learned"),
        needs="attention.xsa_last_n",
        source="SPThole/parameter-golf-experimentations exp55b",
    )
    value_residual: str = lever(
        "none",
        "Values become (1-a) v + a v0 with the first block's values, a = sigmoid(alpha); the same with two free "
        "factors; or v + alpha (v' - v) with those of the block before.",
        choices=("none", "sigmoid", "factors", "cascade"),
        neutral="none",
        source="arXiv 2410.17897; parameter-golf PR 569",
        aliases=("VALUE_RESIDUAL",),
    )
    value_residual_init: float = lever(
        0.5,
        "Share of the older values at first.",
        low=0.0,
        high=1.0,
        needs="attention.value_residual",
        source="SPThole/parameter-golf-experimentations exp63",
        aliases=("CASCADE_VR_INIT",),
    )
    value_embedding: str = lever(
        "alternate",
        "Token tables added to values: one in every other block with gates, or one shared by the last blocks.",
        choices=("none", "alternate", "shared"),
        neutral="none",
        source=AUTORESEARCH + "; parameter-golf PR 374",
    )
    value_embedding_dim: int = lever(
        128,
        "Width of the shared table.",
        low=1,
        high=1024,
        needs="attention.value_embedding=shared",
        source="parameter-golf PR 374",
        aliases=("VE_DIM",),
    )
    value_embedding_last_n: int = lever(
        2,
        "Last blocks that read the shared table.",
        low=1,
        high=MAX_DEPTH,
        needs="attention.value_embedding=shared",
        source="parameter-golf PR 374",
    )
    x0_to_value: float = lever(
        0.0,
        "Values receive s W norm(x0), s learned a block from this on; 0: nothing [lab].",
        low=0.0,
        high=4.0,
        neutral=0.0,
        source="SPThole/parameter-golf-experimentations exp85",
    )
    output_gate: str = lever(
        "none",
        "Factor on each head's output: 2 sigmoid(w x[:12]), w 0 at first; sigmoid(w x); sigmoid(s w x[:12]).",
        choices=("none", "doubled", "dense", "sparse"),
        neutral="none",
        source="arXiv 2505.06708; parameter-golf PR 1667",
    )
    output_gate_scale: float = lever(
        0.5,
        "s of the sparse gate.",
        low=0.01,
        high=10.0,
        scale="log",
        needs="attention.output_gate=sparse",
        source="parameter-golf PR 1667",
        aliases=("SPARSE_ATTN_GATE_SCALE",),
    )
