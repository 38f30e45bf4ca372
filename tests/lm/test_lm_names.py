"""The names of the public runs: each is a lever's alias, or it is said here why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foldover.core import RecipeError
from foldover.lm.levers import CONSTANTS, LEVERS
from foldover.studyfile import parse
from foldover.trainers import get_trainer

NAMES = {
    "ADAPTIVE_WARMDOWN_EMA": "schedule.adaptive_smoothing",
    "ADAPTIVE_WARMDOWN_MIN_STEPS": "schedule.adaptive_min_steps",
    "ADAPTIVE_WARMDOWN_THRESHOLD": "schedule.adaptive_threshold",
    "ACT": "mlp.activation",
    "ADAM_WD": "optimizer.adam_weight_decay",
    "ASPECT_RATIO": "model.aspect",
    "BATCH_SCHEDULE_FRACTION": "batch.batch_ramp_ratio",
    "BIGRAM_DIM": "embedding.bigram_dim",
    "BIGRAM_VOCAB_SIZE": "embedding.bigram_buckets",
    "CASCADE_VR_INIT": "attention.value_residual_init",
    "CASEOPS_ENABLED": "tokenizer.fold_case",
    "COMPRESSION_FULL_ROW_SCALE": "compression.full_row_scale",
    "COMPRESSION_GRID_REG_WEIGHT": "compression.grid",
    "COMPRESSION_RANK1_REG_WEIGHT": "compression.rank1",
    "COMPRESSION_REG_INTERVAL": "compression.interval",
    "COMPRESSION_REG_MAX_COLS": "compression.max_columns",
    "COMPRESSION_REG_SAMPLE_TENSORS": "compression.tensors",
    "COMPRESSION_REG_WARMUP_STEPS": "compression.penalty_from",
    "COMPRESSION_REG_WEIGHT": "compression.weight",
    "COMPRESSION_SCALE_REG_WEIGHT": "compression.scale",
    "COOC_QK": "init.cooccurrence_qk",
    "COPY_HEAD": "head.copy",
    "DEPTH": "model.depth",
    "EMA_DECAY": "averaging.ema_decay",
    "EMA_EVERY": "averaging.ema_every",
    "EMBEDDING_LR": "optimizer.embedding_lr",
    "EMBED_DIM": "embedding.factor_dim",
    "EMBED_LR": "optimizer.embedding_lr",
    "EMBED_WD": "optimizer.adam_weight_decay",
    "ENABLE_LOOPING_AT": "recurrence.active_from",
    "FINAL_LR_FRAC": "schedule.final_lr_fraction",
    "GPTQ_RESERVE_SECONDS": "schedule.reserve_seconds",
    "GRAD_CLIP_NORM": "optimizer.clip_norm",
    "HEAD_DIM": "model.head_dim",
    "HEAD_LR": "optimizer.unembedding_lr",
    "IGNORE_INDEX": "loss.ignore_token",
    "JEPA_WEIGHT": "head.jepa_weight",
    "LATE_QAT_THRESHOLD": "compression.qat_start",
    "LAYER_MAP": "model.layer_map",
    "LN_SCALE": "residual.layer_norm_scale",
    "LOGIT_SOFTCAP": "model.softcap",
    "LOOP_EMBED": "recurrence.loop_embedding",
    "LOOP_END": "recurrence.loop_end",
    "LOOP_FILM": "recurrence.loop_film",
    "LOOP_PHASE2_AT": "recurrence.all_from",
    "LOOP_START": "recurrence.loop_start",
    "MATRIX_LR": "optimizer.matrix_lr",
    "MAX_SEQ_LEN": "model.context",
    "META_TTT_EVERY": "optimizer.meta_ttt_every",
    "MIN_LR": "schedule.min_lr_fraction",
    "MLP_MULT": "model.mlp_multiplier",
    "MODEL_DIM": "model.width",
    "MTP_LOSS_WEIGHT": "head.mtp_weight",
    "MTP_NUM_HEADS": "head.mtp_heads",
    "MUON_BACKEND_STEPS": "optimizer.orthogonal_steps",
    "MUON_BETA2": "optimizer.muon_beta2",
    "MUON_MOMENTUM": "optimizer.momentum",
    "MUON_NS": "optimizer.orthogonalization",
    "MUON_ROW_NORMALIZE": "optimizer.row_normalize",
    "MUON_SCALE": "optimizer.update_scale",
    "MUON_WD": "optimizer.weight_decay",
    "NUM_KV_HEADS": "attention.kv_heads",
    "NUM_LAYERS": "model.depth",
    "NUM_LOOPS": "recurrence.loops",
    "NUM_UNIQUE_BLOCKS": "model.unique_blocks",
    "ORTHO_INIT": "init.matrices",
    "OUTLIER_REG_WEIGHT": "compression.outlier",
    "OUT_BIAS": "head.output_bias",
    "PARALLEL_FINAL_LANE": "residual.lane_output",
    "PARALLEL_RESIDUAL_START": "residual.parallel_start",
    "PARALLEL_START_LAYER": "residual.lane_start",
    "QAT": "compression.forward_weights",
    "QK_GAIN_INIT": "attention.qk_gain",
    "RESID_NORM": "residual.skip_norm",
    "ROPE_BASE": "model.rope_base",
    "ROPE_DIMS": "attention.rope_dims",
    "SCALAR_LR": "optimizer.scalar_lr",
    "SMEAR": "embedding.smear",
    "SPARSE_ATTN_GATE_SCALE": "attention.output_gate_scale",
    "SWA_EVERY": "averaging.snapshot_every",
    "SWA_START_FRAC": "averaging.swa_start",
    "TERNARY_REG_WEIGHT": "compression.ternary",
    "TIED_EMBED_LR": "optimizer.tied_embedding_lr",
    "TIED_EMBED_INIT_STD": "init.embedding_std",
    "TOKEN_TYPE": "embedding.token_type",
    "TOTAL_BATCH_SIZE": "batch.total_batch",
    "TRAIN_BATCH_TOKENS": "batch.total_batch",
    "TRAIN_SEQ_LEN": "model.context",
    "UNEMBEDDING_LR": "optimizer.unembedding_lr",
    "UNTIE_LOOP_MLPS": "recurrence.untied_mlps",
    "VALUE_RESIDUAL": "attention.value_residual",
    "VARLEN": "attention.within_documents",
    "VE_DIM": "attention.value_embedding_dim",
    "VOCAB_SIZE": "tokenizer.vocab_size",
    "WARMDOWN_FRAC": "schedule.warmdown_ratio",
    "WARMDOWN_ITERS": "schedule.warmdown_steps",
    "WARMDOWN_RATIO": "schedule.warmdown_ratio",
    "WARMUP_RATIO": "schedule.warmup_ratio",
    "WARMUP_STEPS": "schedule.restored_steps",
    "WEIGHT_DECAY": "optimizer.weight_decay",
    "WINDOW_PATTERN": "model.window_pattern",
    "WINDOW_SIZE": "attention.window_size",
    "WORD_START_BOOST": "embedding.word_start_boost",
    "XSA_LAST_N": "attention.xsa_last_n",
}

# Of training, and without a lever of that name on purpose.
WITHOUT = {
    "ITERATIONS": "the budget of a run, in steps",
    "MAX_WALLCLOCK_SECONDS": "the budget of a run, in seconds",
    "RECUR_START_STEP": "a step; recurrence.active_from is a share of the budget",
    "SKIP_GATES": "a switch; residual.skips = gated",
    "TRIGRAM": "a switch; embedding.bigram_orders = trigram",
    "ENGRAM_ORDERS": "a list; embedding.bigram_orders = engram",
    "ROPE_BASE_EVEN": "model.rope_base is that of even blocks",
    "ROPE_BASE_ODD": "attention.rope_odd_factor is relative to the even blocks",
    "NTK": "a switch; attention.ntk_context is the length that it begins above",
    "VE_LAYERS": "a list; attention.value_embedding_last_n",
    "MUON_BANKS": "how matrices are held: it changes no result, so it is no lever",
    "WD_TAPER": "a switch; optimizer.decay_taper_start and optimizer.decay_final_fraction",
    "MOMENTUM_CYCLIC": "a switch; optimizer.momentum_cycle is the half period",
    "GRAD_ACCUM_STEPS": "micro-batches are a setting: they change no result",
    "ADAPTIVE_WARMDOWN": "a switch; schedule.adaptive_threshold",
    "BATCH_TOKENS_START": "tokens; batch.batch_start is a share of the batch",
}

# Of the packed model and of evaluation.
LATER = re.findall(
    r"\w+",
    """INT8_AXIS_MODE QUANT_AXIS MATRIX_CLIP_SIGMAS EMBED_CLIP_SIGMAS MLP_CLIP_SIGMAS ATTN_CLIP_SIGMAS
    HESSIAN_CLIP_LAMBDA GPTQ_CALIBRATION_BATCHES AWQ_ALPHA BITS_MLP_PROJ BITS_ATTN BITS_EMBED
    TARGET_BYTES PRUNE_FRAC INT8_RESIDUAL_RANK INT8_RESIDUAL_BUDGET_BYTES INT8_TARGETED_RESIDUAL_MODE LQER_RANK
    LQER_TOP_K LQER_GROUP MLP_PERMUTE COMPRESSOR EVAL_STRIDE EVAL_SEQ_LEN EVAL_TEMP TTT_CHUNK_TOKENS TTT_LR
    TTT_EPOCHS TTT_MOMENTUM TTT_FREEZE_BLOCKS TTT_GRAD_CLIP TTT_BATCH_SEQS TTT_LORA_RANK TTT_LORA_LR TTT_CHUNK_SIZE
    TTT_EVAL_SEQ_LEN EVAL_CACHE_MIX_WEIGHT EVAL_BIGRAM_MIX_WEIGHT EVAL_CACHE_SIZE""",
)

STUDY = """
[study]
name = "names"
question = "?"
trainer = "lm"

[baseline]
preset = "golf-micro"
set = {{ {set} }}

[factors.A]
lever = "{factor}"
low = {low}
high = {high}

[[stages]]
name = "screen"
kind = "screen"
design = "2^1"
budgets = ["8 steps"]
seeds = [1]
"""


@pytest.mark.parametrize(("name", "lever"), NAMES.items())
def test_a_name_of_the_public_runs_is_that_lever(name: str, lever: str) -> None:
    assert LEVERS.find(name).name == lever


@pytest.mark.parametrize("name", LATER)
def test_a_name_of_what_is_done_after_training_is_a_lever_of_a_later_phase(name: str) -> None:
    assert LEVERS.find(name).phase in ("export", "evaluate")


@pytest.mark.parametrize("name", WITHOUT)
def test_a_name_without_a_lever_is_refused(name: str) -> None:
    for known in (LEVERS, CONSTANTS):
        with pytest.raises(RecipeError, match="is not a lever"):
            known.find(name)


def test_what_is_said_of_a_name_without_a_lever_names_levers_that_exist() -> None:
    named = [word for reason in WITHOUT.values() for word in re.findall(r"[a-z]+\.[a-z_0-9]+", reason)]
    assert named
    assert set(named) <= set(LEVERS)


def test_aliases_are_the_names_of_the_list_and_no_others() -> None:
    of_training = {alias for lever in LEVERS.values() if lever.phase == "train" for alias in lever.aliases}
    assert of_training <= set(NAMES)


def test_names_of_the_public_runs_are_accepted_in_study_files() -> None:
    text = STUDY.format(set="NUM_UNIQUE_BLOCKS = 2, VOCAB_SIZE = 2048", factor="QK_GAIN_INIT", low="1.0", high="2.0")
    study = parse(text, "names.toml", get_trainer)
    values = study.baseline.values
    assert (values["model.unique_blocks"], values["tokenizer.vocab_size"]) == (2, 2048)
    assert study.factors[0].lever == "attention.qk_gain"


def test_the_reference_of_levers_names_nothing_that_is_missing_here() -> None:
    page = Path(__file__).parents[3] / "shared" / "reference" / "levers.md"
    if not page.is_file():
        pytest.skip("there is no reference beside this checkout")
    found = {
        name
        for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
        for name in re.findall(r"\b[A-Z][A-Z0-9_]*[A-Z0-9]\b", code)
    }
    # KNOBS stands for a name; ODD is the end of ROPE_BASE_EVEN/ODD.
    assert found - {"KNOBS", "ODD"} - set(NAMES) - set(WITHOUT) - set(LATER) == set()
