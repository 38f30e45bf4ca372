"""Levers of the blocks, grouped as the model is.

Attention is in `levers_attention`, embedding and head in `levers_ends`, training in `levers`.

The defaults are those of karpathy/autoresearch at commit 228791f; preset `golf` gives the other family. Names in
capitals are those of the public runs, accepted everywhere. What is marked [lab] has no public definition: the
one here is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import lever

AUTORESEARCH = "karpathy/autoresearch 228791f"
GOLF = "openai/parameter-golf train_gpt.py"
WINDOW_PATTERNS = ("L", "SL", "SSL", "SSSL")
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Shape of the network."""

    depth: int = lever(
        8, "Number of blocks.", low=1, high=MAX_DEPTH, source=AUTORESEARCH, aliases=("NUM_LAYERS", "DEPTH")
    )
    aspect: int = lever(
        64,
        "Width a block: depth times aspect, rounded up to a multiple of head_dim, is the model's width.",
        low=1,
        high=512,
        source=AUTORESEARCH,
        aliases=("ASPECT_RATIO",),
    )
    width: int = lever(
        0,
        "The model's width itself, a multiple of head_dim; 0: as depth and aspect give it.",
        low=0,
        high=8192,
        source=GOLF,
        aliases=("MODEL_DIM",),
    )
    head_dim: int = lever(
        128, "Width of an attention head.", low=8, high=512, multiple_of=2, source=AUTORESEARCH, aliases=("HEAD_DIM",)
    )
    context: int = lever(
        2048,
        "Tokens a row, in training and evaluation.",
        low=8,
        high=65536,
        unit="tokens",
        source=AUTORESEARCH,
        aliases=("TRAIN_SEQ_LEN", "MAX_SEQ_LEN"),
    )
    window_pattern: str = lever(
        "SSSL",
        "Attention windows, block by block, repeated: S sees half the context, L all of it; the last block is L.",
        choices=WINDOW_PATTERNS,
        neutral="L",
        source=AUTORESEARCH,
        aliases=("WINDOW_PATTERN",),
    )
    mlp_multiplier: float = lever(
        4.0,
        "Hidden width of the MLP, in widths (rounded down).",
        low=0.25,
        high=16.0,
        source=AUTORESEARCH,
        aliases=("MLP_MULT",),
    )
    softcap: float = lever(
        15.0,
        "Logits are softcap * tanh(logits / softcap).",
        low=1.0,
        high=1e9,
        neutral=1e9,
        scale="log",
        source=AUTORESEARCH + "; " + GOLF,
        aliases=("LOGIT_SOFTCAP",),
    )
    softcap_form: str = lever(
        "tanh",
        "The curve of the softcap: tanh, or the polynomial of degree 5 with slope 1 at 0 that reaches the cap with "
        "slope 0 at 15/8 of it and stays there [lab].",
        choices=("tanh", "polynomial"),
        neutral="tanh",
        source="parameter-golf record of 2026-03-24",
    )
    rope_base: float = lever(
        10000.0,
        "Base of the rotary frequencies.",
        low=10.0,
        high=1e8,
        scale="log",
        source="arXiv 2104.09864",
        aliases=("ROPE_BASE",),
    )
    unique_blocks: int = lever(
        0,
        "Blocks with parameters of their own: position i uses block i modulo this; 0: all of them.",
        low=0,
        high=MAX_DEPTH,
        neutral=0,
        source="JusticeShultz/parameter-golf train_gpt.py",
        aliases=("NUM_UNIQUE_BLOCKS",),
    )
    layer_map: str = lever(
        "",
        "Whose matrices each position uses, such as 0,1,2,1; its vectors and scalars stay its own. Empty: its own.",
        pattern=r"|\d+(,\d+)*",
        neutral="",
        source="SPThole/parameter-golf-experimentations exp42b",
        aliases=("LAYER_MAP",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """Running a segment of blocks several times in one pass through the network."""

    loops: int = lever(
        0,
        "Extra passes through the blocks loop_start to loop_end.",
        low=0,
        high=8,
        neutral=0,
        source="parameter-golf PR 1394",
        aliases=("NUM_LOOPS",),
    )
    loop_start: int = lever(
        3,
        "First block of the segment.",
        low=0,
        high=MAX_DEPTH - 1,
        needs="recurrence.loops",
        source="parameter-golf PR 1394",
        aliases=("LOOP_START",),
    )
    loop_end: int = lever(
        5,
        "Last block of the segment.",
        low=0,
        high=MAX_DEPTH - 1,
        needs="recurrence.loops",
        source="parameter-golf PR 1394",
        aliases=("LOOP_END",),
    )
    active_from: float = lever(
        0.0,
        "Progress at which the extra passes begin; evaluation always has them.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        source="parameter-golf PR 1394",
        fires="loops_started",
        needs="recurrence.loops",
        aliases=("ENABLE_LOOPING_AT",),
    )
    all_from: float = lever(
        0.0,
        "Progress up to which only one of the extra passes runs.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        source="parameter-golf PR 1394",
        needs="recurrence.loops",
        aliases=("LOOP_PHASE2_AT",),
    )
    untied_mlps: bool = lever(
        False,
        "Each pass of the segment has MLPs of its own; attention stays shared.",
        neutral=False,
        source="parameter-golf PR 1394",
        needs="recurrence.loops",
        aliases=("UNTIE_LOOP_MLPS",),
    )
    loop_embedding: bool = lever(
        False,
        "A learned vector a pass, zero at first, is added where the pass begins.",
        neutral=False,
        source="parameter-golf PR 1518",
        needs="recurrence.loops",
        aliases=("LOOP_EMBED",),
    )
    loop_film: bool = lever(
        False,
        "Where an extra pass begins: x becomes (1 + gamma) x + beta, both learned, zero at first [lab].",
        neutral=False,
        needs="recurrence.loops",
        source="SPThole/parameter-golf-experimentations (names only)",
        aliases=("LOOP_FILM",),
    )
    loop_norm: bool = lever(
        False,
        "Where an extra pass begins: x becomes norm(x) + c x0, c learned, 0 at first [lab].",
        neutral=False,
        needs="recurrence.loops",
        source="SPThole/parameter-golf-experimentations (names only)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """How branches meet the residual stream."""

    x0_mix: str = lever(
        "scalar",
        "Before each block x becomes r x + z x0, x0 the embedded token: r and z scalars, or one a channel.",
        choices=("none", "scalar", "channel"),
        neutral="none",
        source=AUTORESEARCH + "; " + GOLF,
    )
    x0_mix_init: float = lever(
        0.1, "z at first (r is 1).", low=0.0, high=1.0, needs="residual.x0_mix", source=AUTORESEARCH
    )
    branch_scales: bool = lever(
        False, "Outputs of attention and MLP are multiplied by learned vectors, 1 at first.", neutral=False, source=GOLF
    )
    layer_norm_scale: bool = lever(
        False,
        "The normed inputs of block i are multiplied by 1 / sqrt(i + 1).",
        neutral=False,
        source="parameter-golf record of 2026-03-21",
        aliases=("LN_SCALE",),
    )
    skips: str = lever(
        "none",
        "U-net skips from the first half of the blocks to the second: x + w s, or (1-g) w s + g x with g a "
        "channel's sigmoid, 1/2 at first.",
        choices=("none", "add", "gated"),
        neutral="none",
        source=GOLF,
    )
    skip_init: float = lever(1.0, "w at first.", low=0.0, high=4.0, needs="residual.skips", source=GOLF)
    skip_norm: str = lever(
        "none",
        "Where a skip joins: x is normed before it, or after it.",
        choices=("none", "before", "after"),
        neutral="none",
        needs="residual.skips",
        source="SPThole/parameter-golf-experimentations exp27b",
        aliases=("RESID_NORM",),
    )
    parallel_start: int = lever(
        MAX_DEPTH,
        "First block whose attention and MLP read the same x (GPT-J); at or above the depth: none.",
        low=0,
        high=MAX_DEPTH,
        neutral=MAX_DEPTH,
        source="parameter-golf record of 2026-04-06",
        aliases=("PARALLEL_RESIDUAL_START",),
    )
    lane_start: int = lever(
        MAX_DEPTH,
        "First block of two lanes, one read by attention, one by the MLP, with learned factors; at or above the depth: "
        "none.",
        low=0,
        high=MAX_DEPTH,
        neutral=MAX_DEPTH,
        source="parameter-golf record of 2026-04-13",
        aliases=("PARALLEL_START_LAYER",),
    )
    lane_init: float = lever(
        1.1,
        "What remains of a lane at each block, at first.",
        low=0.5,
        high=2.0,
        needs="residual.lane_start",
        source="parameter-golf record of 2026-04-13",
    )
    lane_asymmetry: float = lever(
        0.0,
        "Each lane takes 1 plus this of its own branch and 1 minus this of the other, at first.",
        low=0.0,
        high=1.0,
        neutral=0.0,
        needs="residual.lane_start",
        source="parameter-golf PR 1518",
    )
    lane_order: str = lever(
        "together",
        "Both branches read the lanes as they entered, or the MLP reads its lane after attention has been added; "
        "lanes then shrink or grow by lane_init at each of the two.",
        choices=("together", "in_turn"),
        neutral="together",
        needs="residual.lane_start",
        source="parameter-golf PR 1204",
    )
    lane_output: str = lever(
        "mean",
        "What leaves the lanes: their mean, one of them, or a learned blend that begins as the mean.",
        choices=("mean", "attn", "mlp", "learned"),
        needs="residual.lane_start",
        source="parameter-golf record of 2026-04-13",
        aliases=("PARALLEL_FINAL_LANE",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """The MLP of a block; its width is `model.mlp_multiplier`."""

    activation: str = lever(
        "relu2",
        "relu(z)^2; leaky_relu(z)^2; relu(z); or swiglu with two thirds of the hidden units.",
        choices=("relu2", "leaky_relu2", "relu", "swiglu"),
        neutral="relu2",
        source="arXiv 2109.08668; arXiv 2002.05202",
        aliases=("ACT",),
    )
    activation_max: float = lever(
        0.0,
        "Hidden activations are at most this; 0: no bound.",
        low=0.0,
        high=1e6,
        neutral=0.0,
        needs="mlp.activation=relu2|leaky_relu2|relu",
        source="SPThole/parameter-golf-experimentations (C48)",
    )
    leaky_slope: float = lever(
        0.5,
        "Slope below zero, before the square.",
        low=0.0,
        high=1.0,
        needs="mlp.activation=leaky_relu2",
        source="parameter-golf record of 2026-03-23",
    )
