"""Shapes, parameters and FLOPs against the table of the autoresearch runner (levers.md A1)."""

import pytest

from foldover.core import Recipe, RecipeError, bind
from foldover.lm.levers import LEVERS, MICRO, PRESETS, TrainConfig
from foldover.lm.plan import LayerSpec
from foldover.lm.resolve import resolve
from foldover.lm.shape import shape_of

# depth, aspect, width, heads, value-embedding layers, embed + head, value embeddings, matrices, scalars, total, FLOPs
TABLE = (
    (6, 48, 384, 3, (1, 3, 5), 6_291_456, 9_437_184, 10_617_120, 12, 26_345_772, 120_325_824),
    (6, 64, 384, 3, (1, 3, 5), 6_291_456, 9_437_184, 10_617_120, 12, 26_345_772, 120_325_824),
    (6, 72, 512, 4, (1, 3, 5), 8_388_608, 12_582_912, 18_874_752, 12, 39_846_284, 188_745_984),
    (8, 48, 384, 3, (1, 3, 5, 7), 6_291_456, 12_582_912, 14_156_160, 16, 33_030_544, 150_997_248),
    (8, 64, 512, 4, (1, 3, 5, 7), 8_388_608, 16_777_216, 25_166_336, 16, 50_332_176, 239_078_400),
    (8, 72, 640, 5, (1, 3, 5, 7), 10_485_760, 20_971_520, 39_322_240, 16, 70_779_536, 346_033_920),
)


def recipe(**levers: object) -> Recipe:
    return Recipe(trainer="lm", values=LEVERS.complete(levers))


def layers_of(**levers: object) -> tuple[LayerSpec, ...]:
    return shape_of(bind(TrainConfig, recipe(**levers).values)).layers


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_resolved_shape_equals_the_published_table(row: tuple) -> None:
    depth, aspect, width, heads, value_layers, ends, values, matrices, scalars, total, flops = row
    derived = resolve(recipe(depth=depth, aspect=aspect)).derived
    assert derived["width"] == width
    assert derived["num_heads"] == heads
    assert derived.integer("num_params_embedding") + derived.integer("num_params_head") == ends
    assert derived["num_params_value_embeddings"] == values
    assert derived["num_params_matrices"] == matrices
    assert derived["num_params_scalars"] == scalars
    assert derived["num_params"] == total
    assert derived["flops_per_token"] == flops
    plan = layers_of(depth=depth, aspect=aspect)
    assert tuple(layer.index for layer in plan if layer.has_value_embedding) == value_layers


def test_two_aspects_that_round_to_one_width_are_effectively_one_run() -> None:
    assert resolve(recipe(depth=6, aspect=48)).effective == resolve(recipe(depth=6, aspect=64)).effective
    assert resolve(recipe(depth=8, aspect=48)).effective != resolve(recipe(depth=8, aspect=64)).effective


@pytest.mark.parametrize(("depth", "windows"), [(6, "SSSLSL"), (8, "SSSLSSSL")])
def test_windows_follow_the_pattern_and_the_last_block_sees_all(depth: int, windows: str) -> None:
    plan = layers_of(depth=depth)
    assert "".join("L" if layer.window == 2048 else "S" for layer in plan) == windows
    assert {layer.window for layer in plan} == {1024, 2048}


def test_a_batch_that_is_no_multiple_of_the_context_names_both_and_a_batch_that_is() -> None:
    with pytest.raises(RecipeError, match=r"total_batch.* is 5000.*got 128.*Use 4992"):
        resolve(Recipe(trainer="lm", values=LEVERS.complete({"total_batch": 5000}, MICRO)))


@pytest.mark.parametrize(
    ("preset", "digest"),
    [
        ("autoresearch", "e263e5380ba0ee7f"),
        ("mini", "fe8b5f20192de426"),
        ("micro", "ae0c85b821031f90"),
        ("golf", "195058b61570d7a7"),
        ("golf-mini", "bc69484a3ced8857"),
        ("golf-micro", "5b23a76fed0396a9"),
    ],
)
def test_presets_keep_the_digests_that_ledgers_hold(preset: str, digest: str) -> None:
    assert Recipe(trainer="lm", values=PRESETS[preset]).digest[:16] == digest


@pytest.mark.parametrize("name", [name for name, lever in LEVERS.items() if lever.is_later])
def test_a_later_lever_at_rest_leaves_the_effective_recipe_as_it_was(name: str) -> None:
    given = LEVERS.complete({name: LEVERS[name].default}, MICRO)
    assert name not in MICRO
    assert (
        resolve(Recipe(trainer="lm", values=given)).effective == resolve(Recipe(trainer="lm", values=MICRO)).effective
    )


def test_warmup_and_warmdown_that_overlap_are_refused() -> None:
    with pytest.raises(RecipeError, match="overlap"):
        resolve(recipe(warmup_ratio=0.6, warmdown_ratio=0.5))
