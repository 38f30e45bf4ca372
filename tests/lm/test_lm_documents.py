"""Documents in one row know nothing of each other (`attention.within_documents`).

The reference is the plain network, which existed before: a document alone in a row. Every lever of the network is held
to it, so that a new one which carries something from position to position is found out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import CONTEXT, CPU, VOCAB, cases, config_of, ids_of, model_of, neutral, off_case, shake, traits
from test_lm_checkpoint import perform, perform_until, spec_of

from foldover.cli import app
from foldover.core import RecipeError, RunSpec, Scalar, Settings, TrainerError, Values
from foldover.export.container import read_artifact
from foldover.lm.artifact import identity_in
from foldover.lm.choose import leaves_for
from foldover.lm.device import open_device
from foldover.lm.levers import ARTIFACT, CONSTANTS, LEVERS
from foldover.lm.model import Gpt, build_model
from foldover.lm.model.documents import OfDocument
from foldover.lm.model.embedding import ChannelSmear
from foldover.lm.resolve import check_recipe, effective_values, resolve
from foldover.rundir import RunRoot

LEVER = "attention.within_documents"
BOS = VOCAB - 1
# Of two rows: the end of a document, then whole ones, one of them a BOS alone.
LENGTHS = ((4, 1, 7, 4), (9, 5, 2))
REFUSED = "attention.ntk_context"
CASES = [case for case in cases() if case[0] not in (LEVER, REFUSED, "attention.long_rows")]
each_case = pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}={value}" for name, value in CASES])


def rows_of_documents(context: int) -> tuple[Tensor, list[tuple[int, int, int]]]:
    """Rows of ids, few different ones, and where documents are: row, start, stop."""
    ids = torch.randint(0, 40, (len(LENGTHS), context), generator=torch.Generator().manual_seed(5))
    spans = []
    for row, lengths in enumerate(LENGTHS):
        start = 0
        for number, length in enumerate(lengths):
            stop = context if number == len(lengths) - 1 else start + length
            if number:
                ids[row, start] = BOS
            spans.append((row, start, stop))
            start = stop
    return ids, spans


def alone(model: Gpt, ids: Tensor, spans: Sequence[tuple[int, int, int]]) -> Tensor:
    """Logits of each document as a row of its own, put together."""
    parts = [model(ids[row : row + 1, start:stop]) for row, start, stop in spans]
    return torch.cat(parts, dim=1).view(*ids.shape, -1)


def pair(values: Values) -> tuple[Gpt, Gpt]:
    """The model of a recipe without the lever and with it, of equal weights that are all awake."""
    without, within = model_of(values), model_of(values.with_({LEVER: True}))
    shake(without, 0.2)
    within.load_state_dict(without.state_dict())
    return without, within


def documents_of(values: Values) -> tuple[Tensor, list[tuple[int, int, int]]]:
    ids, spans = rows_of_documents(values.integer("model.context"))
    last = values.integer("tokenizer.vocab_size") - 1
    return torch.where(ids == BOS, last, ids), spans


@each_case
@torch.no_grad()
def test_a_document_in_a_row_of_several_is_scored_as_alone(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    without, within = pair(values)
    ids, spans = documents_of(values)
    expected = alone(without, ids, spans)
    torch.testing.assert_close(within(ids), expected, atol=2e-5, rtol=2e-5)
    assert (without(ids) - expected).abs().max() > 1e-2  # else the lever would have nothing to do


@each_case
def test_no_gradient_and_no_bit_comes_from_another_document(name: str, value: Scalar) -> None:
    _, values = off_case(name, value)
    within = model_of(values.with_({LEVER: True}))
    shake(within, 0.2)
    ids, spans = documents_of(values)
    ids[ids == BOS] = values.integer("tokenizer.vocab_size") - 1
    row, start, stop = spans[2]  # in the middle of the first row
    changed = ids.clone()
    changed[row, :start] = torch.where(ids[row, :start] < 40, (ids[row, :start] + 7) % 40, ids[row, :start])
    changed[row, stop:] = torch.where(ids[row, stop:] < 40, (ids[row, stop:] + 7) % 40, ids[row, stop:])
    with torch.no_grad():
        assert torch.equal(within(ids)[row, start:stop], within(changed)[row, start:stop])
    seen: list[Tensor] = []
    hook = within.token.register_forward_hook(lambda module, inputs, out: seen.append(out))
    try:
        logits = within(ids)
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(logits[row, start:stop].square().sum(), seen[0])
    assert gradient[row, start:stop].abs().sum() > 0
    gradient[row, start:stop] = 0.0
    assert not gradient.any()


TOGETHER: dict[str, dict[str, Scalar]] = {
    "plain": {},
    "windows": {"model.window_pattern": "SL", "attention.window_size": 5},
    "grouped": {"attention.kv_heads": 1, "attention.xsa_last_n": 2, "attention.value_residual": "sigmoid"},
    "everything": {
        "recurrence.loops": 1,
        "attention.window_size": 6,
        "attention.value_residual": "cascade",
        "attention.value_embedding": "alternate",
        "residual.skips": "add",
        "residual.lane_start": 3,
        "embedding.bigram_buckets": 64,
        "embedding.bigram_orders": "byte_window",
        "embedding.smear": "channel",
        "head.context_bias": True,
        "head.copy": "attention",
    },
}


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("kernels", ["torch", "native"])
def test_the_leaves_of_a_cpu_score_and_learn_documents_as_alone(name: str, kernels: str) -> None:
    values = neutral().with_(TOGETHER[name])
    leaves = leaves_for(open_device(Settings(device="cpu", compute="fp32", kernels=kernels)))
    without, _ = pair(values)
    config = config_of(values.with_({LEVER: True}))
    within = build_model(config, seed=0, device=CPU, traits=traits, leaves=leaves)
    within.load_state_dict(without.state_dict())
    ids, spans = rows_of_documents(CONTEXT)
    expected, found = alone(without, ids, spans), within(ids)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for (key, mine), (_, other) in zip(within.named_parameters(), without.named_parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, atol=2e-4, rtol=2e-4, msg=key)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # the compiler's own
def test_a_compiled_model_stays_within_documents_that_it_has_not_seen_before() -> None:
    values = neutral().with_({"model.depth": 1, "attention.window_size": 6, "embedding.smear": "channel"})
    _, within = pair(values)
    compiled = torch.compile(within.loss_terms, backend="eager", fullgraph=True)
    ids, _ = rows_of_documents(CONTEXT + 1)
    for rows in (ids.clamp_max(40), ids):
        found, expected = (f(rows[:, :-1], rows[:, 1:])["cross_entropy"] for f in (compiled, within.loss_terms))
        torch.testing.assert_close(found, expected)


def test_the_loss_of_a_row_is_the_mean_over_its_documents_tokens() -> None:
    without, within = pair(neutral())
    ids, spans = rows_of_documents(CONTEXT + 1)
    nll = [
        functional.cross_entropy(without(ids[row : row + 1, start : stop - (stop == CONTEXT + 1)])[0], targets)
        * len(targets)
        for row, start, stop in spans
        if len(targets := ids[row, start + 1 : min(stop, CONTEXT) + 1])
    ]
    expected = torch.stack(nll).sum() / (len(ids) * CONTEXT)
    torch.testing.assert_close(within.loss(ids[:, :-1], ids[:, 1:]), expected)


def test_heads_for_later_tokens_learn_nothing_of_the_next_document() -> None:
    values = neutral().with_({"head.mtp_heads": 2, "head.mtp_weight": 1.0})
    _, within = pair(values)
    ids, _ = rows_of_documents(CONTEXT + 1)
    inputs, targets = ids[:, :-1], ids[:, 1:]
    x = within.features(inputs)
    heads, cap = within.terms["mtp"].loss.heads, float(values["model.softcap"])
    expected = []
    for k, head in enumerate(heads, start=1):
        nll = torch.zeros(len(ids), CONTEXT - k)
        for b, t in np.ndindex(*nll.shape):
            if BOS not in ids[b, t + 1 : t + 1 + k]:  # the target is the token behind these
                logits = cap * torch.tanh(head @ x[b, t] / cap)
                nll[b, t] = -logits.log_softmax(0)[ids[b, t + 1 + k]]
        assert 0 < (nll == 0).sum() < nll.numel()
        expected.append(nll.mean())
    found = within.loss_terms(inputs, targets)["mtp"]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    halves = [within.loss_terms(inputs[b : b + 1], targets[b : b + 1])["mtp"] for b in range(2)]
    torch.testing.assert_close(torch.stack(halves).mean(), found)


def test_heads_for_later_tokens_that_have_nothing_to_learn_get_no_gradient_and_no_nan() -> None:
    values = neutral().with_({"head.mtp_heads": 1, LEVER: True})
    within = model_of(values)
    rows = torch.full((1, CONTEXT + 1), BOS)
    found = within.loss_terms(rows[:, :-1], rows[:, 1:])["mtp"]
    found.backward()
    assert (found.item(), within.terms["mtp"].loss.heads[0].grad.any().item()) == (0.0, False)


# What a position may know, by plain loops


def test_places_totals_and_predecessors_are_those_of_loops() -> None:
    ids, _ = rows_of_documents(CONTEXT)
    x = torch.randn(*ids.shape, 3, generator=torch.Generator().manual_seed(0))
    past = OfDocument(bos_id=BOS)
    places, totals, before = np.zeros(ids.shape, int), np.zeros(x.shape), np.zeros(x.shape)
    for b, t in np.ndindex(*ids.shape):
        start = max([s for s in range(t + 1) if ids[b, s] == BOS], default=0)
        places[b, t] = t - start
        totals[b, t] = x[b, start : t + 1].double().sum(0).numpy()
        if t > start:
            before[b, t] = x[b, t - 1].numpy()
    assert past.places(ids).tolist() == places.tolist()
    np.testing.assert_allclose(past.total(x, ids).numpy(), totals, atol=1e-5)
    np.testing.assert_array_equal(past.before(x, ids).numpy(), before.astype(np.float32))
    counts = torch.arange(ids.numel()).view(ids.shape)
    assert past.total(counts, ids)[1, 11].item() == counts[1, 9:12].sum().item()


def test_a_smeared_first_token_of_a_document_keeps_its_own_share_alone() -> None:
    smear = ChannelSmear(width=3, share=0.25, past=OfDocument(bos_id=BOS))
    with torch.no_grad():
        smear.gate.fill_(torch.logit(torch.tensor(0.25)).item())
        x = torch.ones(1, 4, 3)
        found = smear(x, torch.tensor([[5, 6, BOS, 7]]))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([0.75, 1.0, 0.75, 1.0]))


# Recipes


def test_off_is_what_recipes_without_the_lever_are() -> None:
    assert LEVER not in LEVERS.defaults()
    off = neutral().with_({LEVER: False})
    bare = Values({name: value for name, value in off.items() if name != LEVER})
    assert effective_values(off) == effective_values(bare)
    ids = ids_of(bare)
    assert torch.equal(model_of(off)(ids[:, :-1]), model_of(bare)(ids[:, :-1]))
    assert LEVERS.find("VARLEN").name == LEVER


def test_flops_are_counted_as_without_it() -> None:
    flops = [
        resolve(replace(spec_of().recipe, values=neutral().with_({LEVER: is_on}))).derived["flops_per_token"]
        for is_on in (False, True)
    ]
    assert flops[0] == flops[1]


def test_a_base_that_depends_on_the_rows_length_is_refused() -> None:
    values = neutral().with_({LEVER: True, REFUSED: CONTEXT // 2})
    with pytest.raises(RecipeError, match="exclude each other"):
        check_recipe(values)
    check_recipe(values.with_({REFUSED: CONTEXT}))


def test_a_training_text_without_bos_is_refused() -> None:
    config = config_of(neutral().with_({LEVER: True}))
    known = traits()
    counts = np.where(np.arange(VOCAB) == BOS, 0, known.counts)
    with pytest.raises(TrainerError, match="nothing says where documents begin"):
        build_model(config, seed=0, device=CPU, traits=lambda: replace(known, counts=counts))


# Whole runs, on documents much shorter than a row


@cache
def texts(side: str) -> list[str]:
    random = np.random.default_rng(len(side))
    words = ("oak", "river", "seven", "amber", "stone", "of", "the", "and", "lamp", "walks")
    return [f"{side} {i} " + " ".join(random.choice(words, random.integers(1, 8))) for i in range(300)]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Documents of some thirty bytes; their cache is a folder of its own."""
    monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "text"
    folder.mkdir()
    for side in ("train", "val"):
        lines = [json.dumps({"text": text}) for text in texts(side)]
        (folder / f"{side}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def spec_on(corpus: Path, limit: str = "6 steps", **levers: object) -> RunSpec:
    spec = spec_of(
        limit, **{"tokenizer.name": "bytes", "vocab_size": 260, "model.context": 64, "total_batch": 256, **levers}
    )
    return replace(spec, constants=CONSTANTS.complete({"corpus": f"path:{corpus}", "eval_tokens": 512}))


def test_a_run_within_documents_goes_on_to_the_last_bit_and_is_another_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levers = {LEVER: True, "smear": "channel", "bigram_buckets": 64, "bigram_dim": 8}
    spec = spec_on(corpus, **levers)
    whole = perform(tmp_path / "a", spec)
    perform_until(tmp_path / "b", spec, 4, monkeypatch)
    continued = perform(tmp_path / "b", spec)
    assert continued.counters["continued_from_step"] == 4
    assert continued.responses == whole.responses
    assert "documents_kept_apart" in whole.fired
    other = perform(tmp_path / "c", spec_on(corpus, **{**levers, LEVER: False}))
    assert "documents_kept_apart" not in other.fired
    assert other.responses["val_bpb"] != whole.responses["val_bpb"]
    assert other.digests["scored"] == whole.digests["scored"]


@pytest.mark.usefixtures("prepared")
def test_no_event_says_that_documents_met_where_each_row_is_of_one(tmp_path: Path) -> None:
    """The embedded addresses are many times as long as a row, and their last pieces come late."""
    outcome = perform(tmp_path, spec_of("3 steps", **{LEVER: True}))
    assert outcome.status == "finished"
    assert "documents_kept_apart" not in outcome.fired


def test_an_artifact_knows_that_it_is_within_documents(corpus: Path, tmp_path: Path) -> None:
    spec = spec_on(corpus, "20 steps", **{LEVER: True, "artifact": True, "scheme": "none"})
    outcome = perform(tmp_path / "runs", spec)
    file = RunRoot(tmp_path / "runs").folder(spec.run_id) / ARTIFACT
    assert identity_in(read_artifact(file).header).recipe[LEVER] is True
    found = CliRunner().invoke(app, ["evaluate", str(file), "--device", "cpu", "--json"])
    assert json.loads(found.stdout)["responses"]["val_bpb"] == outcome.responses["roundtrip_bpb"]
