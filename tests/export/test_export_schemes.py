"""Levers of the export, and what they make of each tensor."""

import pytest

from foldover.core import RecipeError, bind
from foldover.export.levers import EXPORT_LEVERS, EXPORT_PRESETS, ExportConfig
from foldover.export.scheme import Scheme, formats_used, schemes_of
from foldover.export.tensors import TensorInfo
from foldover.lm.levers import LEVERS

SHAPES = {
    "embedding": ("embedding", None, (1024, 64)),
    "head": ("head", None, (1024, 64)),
    "bigram.table": ("table", None, (512, 64)),
    "blocks.0.attention.query": ("attention", 0, (64, 64)),
    "blocks.0.attention.output": ("attention_out", 0, (64, 64)),
    "blocks.0.mlp.input": ("mlp", 0, (128, 64)),
    "blocks.0.mlp.output": ("mlp_out", 0, (64, 128)),
    "blocks.1.mlp.input": ("mlp", 1, (128, 64)),
    "blocks.2.mlp.input": ("mlp", 2, (128, 64)),
    "blocks.0.gate": ("matrix", 0, (4, 32)),
    "blocks.0.scale": ("vector", 0, (64,)),
}
TENSORS = [(TensorInfo(name=name, role=role, layer=layer), shape) for name, (role, layer, shape) in SHAPES.items()]

NAMES_OF_SECTION_F = (
    "QUANT_AXIS MATRIX_CLIP_SIGMAS EMBED_CLIP_SIGMAS MLP_CLIP_SIGMAS ATTN_CLIP_SIGMAS HESSIAN_CLIP_LAMBDA "
    "GPTQ_CALIBRATION_BATCHES AWQ_ALPHA BITS_MLP_PROJ BITS_ATTN BITS_EMBED "
    "TARGET_BYTES PRUNE_FRAC "
    "INT8_RESIDUAL_RANK INT8_RESIDUAL_BUDGET_BYTES INT8_TARGETED_RESIDUAL_MODE LQER_RANK LQER_TOP_K LQER_GROUP "
    "MLP_PERMUTE COMPRESSOR INT8_AXIS_MODE"
)


def schemes(**levers: object) -> dict[str, Scheme]:
    values = {name.replace("__", "."): value for name, value in levers.items()}
    return schemes_of(bind(ExportConfig, EXPORT_LEVERS.complete(values)), TENSORS)


@pytest.mark.parametrize("name", NAMES_OF_SECTION_F.split())
def test_the_seeds_names_are_aliases(name: str) -> None:
    assert EXPORT_LEVERS.find(name).aliases


def test_the_levers_of_the_export_are_levers_of_the_trainer_under_unambiguous_names() -> None:
    assert {name: LEVERS[name] for name in EXPORT_LEVERS} == dict(EXPORT_LEVERS)
    assert all(LEVERS.find(lever.short_name) == lever for lever in EXPORT_LEVERS.values())


def test_every_lever_but_the_first_needs_an_artifact() -> None:
    off = EXPORT_LEVERS.complete({"export.artifact": False})
    assert [name for name in EXPORT_LEVERS if EXPORT_LEVERS.acts(name, off)] == ["export.artifact"]


def test_needs_name_levers_and_values_that_exist() -> None:
    for lever in EXPORT_LEVERS.values():
        owner, _, wanted = lever.needs.partition("=")
        if owner:
            assert set(wanted.split("|")) <= {*EXPORT_LEVERS[owner].choices, ""}
            assert wanted or EXPORT_LEVERS[owner].neutral is not None


def test_all_of_the_levers_are_of_the_export() -> None:
    assert {lever.phase for lever in EXPORT_LEVERS.values()} == {"export"}


def test_neutral_stores_every_tensor_as_it_is() -> None:
    assert set(schemes(scheme="none").values()) == {Scheme(format="float32")}


def test_defaults_are_those_of_the_record_of_april() -> None:
    found = schemes()
    assert found["embedding"].format == found["head"].format == "int8"
    assert {found[name].sigmas for name in ("embedding", "head")} == {20.0}
    rest = [name for name in SHAPES if name.startswith("blocks") and not name.endswith(("gate", "scale"))]
    assert {(found[name].format, found[name].sigmas, found[name].clip) for name in rest} == {("int6", 12.85, "sdclip")}
    assert all(found[name].has_gptq for name in rest)
    assert (found["blocks.0.gate"].format, found["blocks.0.scale"].format) == ("float16", "float32")


@pytest.mark.parametrize(
    ("levers", "changed"),
    [
        ({"BITS": "int5"}, {"bigram", "query", "output", "input"}),
        ({"BITS_EMBED": "int5"}, {"embedding", "head"}),
        ({"table_format": "int5"}, {"bigram"}),
        ({"BITS_ATTN": "int5"}, {"attention"}),
        ({"BITS_MLP": "int5"}, {"mlp"}),
        ({"BITS_MLP_PROJ": "int5"}, {"mlp.output"}),
    ],
)
def test_a_format_changes_its_class_of_tensors_and_no_other(levers: dict[str, object], changed: set[str]) -> None:
    found = {name for name, scheme in schemes(**levers).items() if scheme.format == "int5"}
    assert found == {name for name in SHAPES if any(part in name for part in changed)}


def test_presets_name_what_is_public_and_what_is_ours() -> None:
    found = {
        name: schemes_of(bind(ExportConfig, values), TENSORS)["blocks.0.mlp.input"]
        for name, values in EXPORT_PRESETS.items()
    }
    assert found["none"] == Scheme(format="float32")
    assert found["baseline"] == Scheme(format="float16")  # of at most 65,536 weights
    assert (found["public"].format, found["public"].clip, found["public"].has_gptq) == ("int6", "sdclip", True)
    assert (found["uniform"].format, found["uniform"].has_feedback_columns) == ("step", True)
    loose = bind(ExportConfig, EXPORT_PRESETS["baseline"].with_({"export.keep_float_below": 0}))
    baseline = schemes_of(loose, TENSORS)["blocks.0.mlp.input"]
    assert (baseline.format, baseline.clip, baseline.quantile, baseline.floor) == (
        "int8",
        "quantile",
        0.9999984,
        1 / 127,
    )


def test_row_steps_by_gradients_leave_tables_alone() -> None:
    found = schemes(scheme="step", row_steps="gradient")
    assert [found[name].row_steps for name in ("embedding", "bigram.table", "head", "blocks.0.mlp.input")] == [
        "tensor", "tensor", "gradient", "gradient",
    ]  # fmt: skip


def test_every_tensor_has_one_scheme() -> None:
    for scheme in ("none", "integer", "step"):
        found = schemes(scheme=scheme)
        assert found.keys() == SHAPES.keys()
        assert sum(formats_used(found).values()) == len(SHAPES)


def test_clips_by_class() -> None:
    found = schemes(MATRIX_CLIP_SIGMAS=10.0, MLP_CLIP_SIGMAS=11.0, ATTN_CLIP_SIGMAS=12.0, EMBED_CLIP_SIGMAS=13.0)
    names = ("bigram.table", "blocks.0.mlp.output", "blocks.0.attention.output", "head")
    assert [found[name].sigmas for name in names] == [10.0, 11.0, 12.0, 13.0]


def test_the_first_and_the_last_block_may_have_more_bits() -> None:
    found = schemes(boundary_bits=1)
    assert [found[f"blocks.{i}.mlp.input"].format for i in range(3)] == ["int7", "int6", "int7"]
    steps = schemes(scheme="step", matrix_step=0.2, boundary_bits=1)
    assert [steps[f"blocks.{i}.mlp.input"].sigmas for i in range(3)] == [0.1, 0.2, 0.1]
    assert steps["embedding"].sigmas == 0.1


def test_overrides_take_the_first_pattern_that_matches() -> None:
    found = schemes(overrides="blocks.0.mlp.*=int8:9.5,*.mlp.*=float16,bigram.table=step:0.3")
    assert (found["blocks.0.mlp.input"].format, found["blocks.0.mlp.input"].sigmas) == ("int8", 9.5)
    assert found["blocks.1.mlp.input"] == Scheme(format="float16")
    assert (found["bigram.table"].format, found["bigram.table"].sigmas) == ("step", 0.3)
    assert found["blocks.0.attention.query"].format == "int6"


def test_an_override_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(RecipeError, match=r"`blocks\.7\.\*` is the first match of no matrix"):
        schemes(overrides="blocks.7.*=int8")
    with pytest.raises(RecipeError, match="first match of no matrix"):
        schemes(overrides="blocks.*=int8,blocks.0.mlp.input=int4")
    with pytest.raises(RecipeError, match="above 0"):
        schemes(overrides="blocks.*=int8:0")


@pytest.mark.parametrize("text", ["blocks=int9", "=int8", "a b=int8", "x=int8,", "x=int8:", "x=int8:-1", "../x=int8"])
def test_an_override_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(RecipeError, match=r"export\.overrides"):
        EXPORT_LEVERS.complete({"overrides": text})


def test_small_matrices_stay_floats_and_none_do_at_zero() -> None:
    assert schemes(keep_float_below=0)["blocks.0.gate"].format == "int6"
    assert schemes(keep_float_below=64 * 64)["blocks.0.attention.query"].format == "float16"
    assert schemes(keep_float_below=64 * 64 - 1)["blocks.0.attention.query"].format == "int6"


def test_finer_steps_of_integers_get_the_bits_that_they_need() -> None:
    scheme = Scheme(format="int6", clip="sdclip", sigmas=12.4)
    for factor, kind in ((2.0, "int6"), (1.0, "int6"), (0.5, "int7"), (0.25, "int8"), (0.125, "int8")):
        found = scheme.coarser(factor)
        assert found.format == kind
        assert found.sigmas / found.levels == pytest.approx(12.4 / 31 * factor)
    assert Scheme(format="step", sigmas=0.2).coarser(3.0).sigmas == pytest.approx(0.6)
    with pytest.raises(ValueError, match="follows from the weights"):
        Scheme(format="int6").coarser(2.0)
