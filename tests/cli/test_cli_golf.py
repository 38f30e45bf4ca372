"""The parameter-golf way from shards and a SentencePiece model to a number, by the real command; and what stops it."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch

from foldover.core import Settings, bind
from foldover.lm.choose import leaves_for
from foldover.lm.device import open_device
from foldover.lm.levers import TrainConfig
from foldover.lm.model import Gpt, build_model
from foldover.lm.state import STATE, load_state
from foldover.rundir import read_ended

VOCAB, BOS = 360, 1
MAGIC = 20240520
DOCUMENTS = 1100
STEPS = 3
SPACE = "▁"

WORDS = ["the", "dog", "lazy", "Über", "Gipfeln", "naïve", "1790", "don't", "  ", "\n", "states", "of", "warte"]
# In no training text of the tokenizer: these are written with byte pieces.
STRANGE = ["🦊", "𝄞", "いろは", "½", "Ж", "\u200d", "e\u0301"]
PRESETS = {
    "golf-micro": ["context=32", "total_batch=128", "word_start_weight=1.5"],
    "golf": [
        "depth=4",
        "width=64",
        "head_dim=16",
        "kv_heads=2",
        "context=48",
        "total_batch=96",
        "warmdown_steps=2",
        "restored_steps=1",
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Golf:
    """A folder of shards, the model that made them, and the validation documents."""

    shards: Path
    model: Path
    documents: Sequence[str]

    @property
    def arguments(self) -> list[str]:
        return [
            *("--constant", f"corpus=path:{self.shards}"),
            *("--set", f"tokenizer.name=path:{self.model}", "--set", f"VOCAB_SIZE={VOCAB}"),
            *("--steps", str(STEPS), "--device", "cpu", "--quiet"),
        ]


def texts(count: int, seed: int, words: Sequence[str]) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    return [" ".join(draw.choices(words, k=draw.randint(1, 14))) for _ in range(count)]


def shard(path: Path, ids: Sequence[int]) -> None:
    """A shard in the public layout, by hand."""
    head = struct.pack("<256i", MAGIC, 1, len(ids), *([0] * 253))
    path.write_bytes(head + struct.pack(f"<{len(ids)}H", *ids))


@pytest.fixture(scope="module")
def golf(tmp_path_factory: pytest.TempPathFactory) -> Golf:
    root = tmp_path_factory.mktemp("golf")
    prefix = root / "pieces"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts(2000, 1, WORDS)),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=VOCAB,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        pad_id=0,
        bos_id=BOS,
        eos_id=2,
        unk_id=3,
        num_threads=1,
        minloglevel=2,
    )
    model = prefix.with_suffix(".model")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    shards = root / "fineweb_tiny"
    shards.mkdir()
    documents = texts(DOCUMENTS, 2, WORDS + STRANGE)
    for side, found in (("train", texts(600, 3, WORDS + STRANGE)), ("val", documents)):
        ids = [i for text in found for i in (BOS, *processor.encode(text))]
        half = len(ids) // 2  # two files: documents go on from one to the next
        shard(shards / f"fineweb_{side}_000000.bin", ids[:half])
        shard(shards / f"fineweb_{side}_000001.bin", ids[half:])
    return Golf(shards=shards, model=model, documents=documents)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path_factory.mktemp("cache")))


def validation_stream(golf: Golf) -> list[int]:
    ids: list[int] = []
    for path in sorted(golf.shards.glob("*_val_*.bin")):
        data = path.read_bytes()
        magic, version, count = struct.unpack("<3i", data[:12])
        assert (magic, version, len(data)) == (MAGIC, 1, 1024 + 2 * count)
        ids.extend(struct.unpack(f"<{count}H", data[1024:]))
    return ids


def written(processor: sentencepiece.SentencePieceProcessor, before: int, target: int) -> bytes:
    """The bytes that a target writes after the id before it."""
    if processor.is_control(target) or processor.is_unknown(target) or processor.is_unused(target):
        return b""
    piece = processor.id_to_piece(target)
    if processor.is_byte(target):
        return bytes([int(piece.removeprefix("<0x").removesuffix(">"), 16)])
    after_bound = processor.is_control(before) or processor.is_unknown(before) or processor.is_unused(before)
    text = piece.replace(SPACE, " ").encode()
    return text[1:] if piece.startswith(SPACE) and after_bound else text


def reference_bpb(model: Gpt, golf: Golf, context: int, rows_at_once: int) -> tuple[float, bytes]:
    """val_bpb by plain sums over windows, and the text that the scored tokens write."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(golf.model))
    stream = validation_stream(golf)
    num_rows = (len(stream) - 1) // context
    nats: list[float] = []
    text: list[bytes] = []
    for first in range(0, num_rows, rows_at_once):
        starts = [row * context for row in range(first, min(first + rows_at_once, num_rows))]
        inputs = torch.tensor([stream[start : start + context] for start in starts])
        with torch.inference_mode():
            logits = model(inputs).numpy().astype(np.float64)
        for row, start in enumerate(starts):
            for t in range(context):
                before, target = stream[start + t], stream[start + t + 1]
                scores = logits[row, t]
                top = scores.max()
                nats.append(float(top + math.log(np.exp(scores - top).sum()) - scores[target]))
                text.append(written(processor, before, target))
    return math.fsum(nats) / math.log(2.0) / sum(map(len, text)), b"".join(text)


def trained(run: Path) -> Gpt:
    """The model that a run kept, on the device that it was measured on."""
    spec, device = read_ended(run).spec, open_device(Settings(device="cpu", compute="fp32", kernels="torch"))
    config = bind(TrainConfig, spec.recipe.values)
    model = build_model(config, seed=spec.seed, device=device.device, leaves=leaves_for(device))
    load_state(model, run / STATE)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_val_bpb_of_a_run_on_shards_is_that_of_plain_sums(
    preset: str, golf: Golf, call: Callable[..., Any], tmp_path: Path
) -> None:
    sets = [word for pair in PRESETS[preset] for word in ("--set", pair)]
    context = int(next(pair for pair in PRESETS[preset] if pair.startswith("context=")).partition("=")[2])
    num_tokens = (len(validation_stream(golf)) - 1) // context * context
    scored = ["--constant", f"eval_tokens={num_tokens}"]
    machine = ["--compute", "fp32", "--kernels", "torch", "--keep-state"]  # nothing that a busy machine may decide
    called = call(
        "train", "--preset", preset, *golf.arguments, *sets, *scored, *machine, "--dir", tmp_path / "runs", "--json"
    )
    assert called.code == 0, called.err
    printed = called.json
    found = printed["outcome"]["responses"]["val_bpb"]
    assert printed["spec"]["constants"]["accounting"] == "pieces"
    assert printed["spec"]["recipe"]["values"]["data.loader"] == "stream"

    expected, text = reference_bpb(trained(Path(printed["folder"])), golf, context, 4096 // context)
    assert found == pytest.approx(expected, rel=1e-9)
    # What was scored writes the documents, but for what the last window lacks: nothing is lost or counted twice.
    assert "".join(golf.documents).encode().startswith(text)
    assert len(text) == printed["outcome"]["counters"]["scored_bytes"]
    assert text.decode(errors="ignore").count("🦊") > 100


def damage(change: str, golf: Golf, folder: Path) -> tuple[Path, Path]:
    """Shards and model with one thing wrong."""
    folder.mkdir()
    for path in golf.shards.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model, val = golf.model, folder / "fineweb_val_000001.bin"
    if change == "truncated":
        val.write_bytes(val.read_bytes()[:-2])
    elif change == "corrupt":
        val.write_bytes(b"\0" * 1024 + val.read_bytes()[1024:])
    elif change == "foreign ids":
        shard(val, [BOS, VOCAB + 7, 5])
    elif change == "empty":
        val.write_bytes(struct.pack("<256i", MAGIC, 1, 0, *([0] * 253)))
    elif change == "no validation":
        for path in folder.glob("*_val_*"):
            path.unlink()
    elif change == "short validation":
        (folder / "fineweb_val_000000.bin").unlink()
        shard(val, [BOS, 5, 6])
    elif change == "beyond uint16":
        data = val.read_bytes()
        val.write_bytes((20240801).to_bytes(4, "little") + data[4:])
    elif change == "no model":
        model = folder.parent / "missing.model"
    elif change == "damaged model":
        model = folder.parent / "bad.model"
        model.write_bytes(b"\x00\x01 not a model")
    return folder, model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "sets", "words"),
    [
        ("truncated", (), ("fineweb_val_000001.bin", "cut short or damaged")),
        ("corrupt", (), ("fineweb_val_000001.bin", "not a token shard")),
        ("empty", (), ("fineweb_val_000001.bin", "0 tokens")),
        ("foreign ids", (), ("has id 367", "has only 360", "made with")),
        ("no validation", (), ("has no val shards",)),
        ("short validation", (), ("fills only 0 rows of 32 tokens", "Give more validation text")),
        ("beyond uint16", (), ("uint32 ids", "at most 65536")),
        ("no model", (), ("missing.model cannot be read",)),
        ("damaged model", (), ("no SentencePiece model",)),
        ("none", ("context=2048", "total_batch=2048"), ("fills only", "Set `eval_tokens` to at most")),
        ("none", ("VOCAB_SIZE=512",), ("has 360 ids", "Set tokenizer.vocab_size to 360")),
        ("none", ("VOCAB_SIZE=70000",), ("tokenizer.vocab_size", "65536")),
        ("none", ("tokenizer.name=sentencepiece",), ("no tokenizer can be trained on",)),
    ],
)
def test_bad_input_is_a_clear_error_before_training(
    change: str, sets: tuple[str, ...], words: tuple[str, ...], golf: Golf, tmp_path: Path, call: Callable[..., Any]
) -> None:
    shards, model = damage(change, golf, tmp_path / "shards")
    given = Golf(shards=shards, model=model, documents=())
    called = call(
        "train", "--preset", "golf-micro", *given.arguments, "--constant", "eval_tokens=99000",
        *[word for one in ("context=32", *sets) for word in ("--set", one)], "--dir", tmp_path / "runs",
    )  # fmt: skip
    assert called.code == 2, called.err
    assert [word for word in words if word not in called.err] == []
    assert not (tmp_path / "runs").exists(), "a run was begun"
