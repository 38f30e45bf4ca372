"""Building the cache folder of a corpus of any size: part by part, in bounded memory, going on after a kill.

Beside the files of a prepared corpus the folder being built holds

    state.json                     parts and counts that are safe on disk; written after the data they speak of
    SIDE_lengths.raw               int64: ids of each document so far
    val_bytes.raw                  uint32: bytes of the text that each validation id covers
    val_hashes.raw, repeats.npy    16 bytes of sha256 of each validation document; whether training has it too

A builder that finds a state cuts the data files back to it and continues with the next part.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, LedgerError, from_json, to_json
from foldover.data.corpus import Side
from foldover.data.encode_part import HASH_BYTES, EncodedPart, encode_parts
from foldover.data.encoding import Tokenizer
from foldover.data.parts import StreamedSource, total_bytes
from foldover.data.prepared import TOKENIZER, TRAIN, TRAIN_OFFSETS, VAL, VAL_BYTES, VAL_OFFSETS, write_offsets
from foldover.data.shard import HEADER_BYTES, header
from foldover.rundir import write_atomic

STATE = "state.json"
SHARD: dict[Side, str] = {"train": TRAIN, "val": VAL}
OFFSETS: dict[Side, str] = {"train": TRAIN_OFFSETS, "val": VAL_OFFSETS}
MAX_REPEATED = 0.01
"""Share of the validation text that may be in training word for word: the web repeats itself, a test must not."""

_VAL_BYTES_RAW, _HASHES, _REPEATS = "val_bytes.raw", "val_hashes.raw", "repeats.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCounts:
    """What of one side is on disk. parts: done; skipped: documents that have no ids."""

    parts: int = 0
    documents: int = 0
    tokens: int = 0
    text_bytes: int = 0
    piece_bytes: int = 0
    unknown: int = 0
    skipped: int = 0

    def plus(self, encoded: EncodedPart) -> SideCounts:
        """With one more part."""
        return SideCounts(
            parts=self.parts + 1,
            documents=self.documents + len(encoded.lengths),
            tokens=self.tokens + len(encoded.tokens),
            text_bytes=self.text_bytes + int(encoded.text_bytes.sum()),
            piece_bytes=self.piece_bytes + encoded.piece_bytes,
            unknown=self.unknown + encoded.unknown,
            skipped=self.skipped + encoded.skipped,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """How far a build is. repeated: validation documents found in training, and their bytes."""

    val: SideCounts = SideCounts()
    train: SideCounts = SideCounts()
    repeated_documents: int = 0
    repeated_bytes: int = 0


def read_state(folder: Path) -> BuildState | None:
    """How far an interrupted build came; None if it is to begin anew."""
    try:
        return from_json(BuildState, (folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, LedgerError):
        return None


def encode_corpus(
    source: StreamedSource,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> BuildState:
    """Encode both sides into the files of a prepared corpus, the validation side first; leaves no file of its own.

    folder: holds the tokenizer's file, and what an interrupted build left. progress: gets the fraction done.
    Raises DataError for text that cannot be read or does not add up, a side without text, or validation text of
    which more than a hundredth is in training word for word.
    """
    state = read_state(folder) or BuildState()
    total = max(1, total_bytes(source.val) + total_bytes(source.train))
    done = 0.0
    for side in ("val", "train"):
        with _Writer(folder, side, tokenizer, state) as writer:
            for weight, latest in writer.encode(source, workers):
                state = latest
                done += weight / total
                if progress is not None:
                    progress(min(1.0, done))
        if not _counts(state, side).tokens:
            name = "training" if side == "train" else "validation"
            raise DataError(f"corpus {source.location} has no {name} text", fix=_hint(source))
        _finish_side(folder, side, tokenizer, _counts(state, side))
    _check_repeats(source, state)
    for name in (STATE, _HASHES, _REPEATS):
        (folder / name).unlink(missing_ok=True)
    return state


class _Writer:
    """The growing files of one side."""

    def __init__(self, folder: Path, side: Side, tokenizer: Tokenizer, state: BuildState) -> None:
        self._folder = folder
        self._side: Side = side
        self._state = state
        self._with_bytes = side == "val" and not tokenizer.is_exact
        counts = _counts(state, side)
        names = {SHARD[side]: HEADER_BYTES + 2 * counts.tokens, f"{side}_lengths.raw": 8 * counts.documents}
        if side == "val":
            names[_HASHES] = (HASH_BYTES + 8) * counts.documents
        if self._with_bytes:
            names[_VAL_BYTES_RAW] = 4 * counts.tokens
        self._sizes = names

    def __enter__(self) -> _Writer:
        # A whole side of an earlier build has had its own files tidied away.
        self._is_finished = (self._folder / OFFSETS[self._side]).exists()
        if self._is_finished:
            return self
        self._files = {}
        for name, size in self._sizes.items():
            path = self._folder / name
            path.touch()
            file = path.open("r+b")
            file.truncate(size)
            file.seek(0, os.SEEK_END)
            self._files[name] = file
        if self._side == "train":
            self._load_hashes()
        return self

    def __exit__(self, *_: object) -> None:
        for file in () if self._is_finished else self._files.values():
            file.close()

    def encode(self, source: StreamedSource, workers: int) -> Iterator[tuple[int, BuildState]]:
        """Encode what is left; gives the approximate bytes of each part and the state with it."""
        parts = source.parts(self._side)
        first = len(parts) if self._is_finished else _counts(self._state, self._side).parts
        if first:
            yield total_bytes(parts[:first]), self._state
        left = parts[first:]
        encoded = encode_parts(left, self._folder / TOKENIZER, with_bytes=self._with_bytes, workers=workers)
        for part, result in zip(left, encoded, strict=True):
            self._add(result)
            yield part.approximate_bytes, self._state

    def _add(self, encoded: EncodedPart) -> None:
        self._files[SHARD[self._side]].write(encoded.tokens.astype("<u2", copy=False).tobytes())
        self._files[f"{self._side}_lengths.raw"].write(encoded.lengths.astype("<i8", copy=False).tobytes())
        if encoded.token_bytes is not None:
            self._files[_VAL_BYTES_RAW].write(encoded.token_bytes.astype("<u4", copy=False).tobytes())
        counts = _counts(self._state, self._side).plus(encoded)
        is_val = self._side == "val"
        state = replace(self._state, val=counts) if is_val else replace(self._state, train=counts)
        if is_val:
            pairs = zip(encoded.hashes, encoded.text_bytes.tolist(), strict=True)
            self._files[_HASHES].write(b"".join(sha + size.to_bytes(8, "little") for sha, size in pairs))
        else:
            state = self._note_repeats(encoded, state)
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        write_atomic(self._folder / STATE, to_json(state))
        self._state = state

    def _load_hashes(self) -> None:
        data = (self._folder / _HASHES).read_bytes()
        step = HASH_BYTES + 8
        self._val: dict[bytes, list[int]] = {}
        self._val_sizes: list[int] = []
        for i, start in enumerate(range(0, len(data), step)):
            self._val.setdefault(data[start : start + HASH_BYTES], []).append(i)
            self._val_sizes.append(int.from_bytes(data[start + HASH_BYTES : start + step], "little"))
        self._repeats = np.zeros(len(self._val_sizes), dtype=bool)
        if self._state.train.parts and (self._folder / _REPEATS).exists():
            self._repeats = np.load(self._folder / _REPEATS)

    def _note_repeats(self, encoded: EncodedPart, state: BuildState) -> BuildState:
        found = [i for sha in encoded.hashes for i in self._val.get(sha, ()) if not self._repeats[i]]
        if not found:
            return state
        self._repeats[found] = True
        with (self._folder / _REPEATS).open("wb") as file:
            np.save(file, self._repeats, allow_pickle=False)
        return replace(
            state,
            repeated_documents=int(self._repeats.sum()),
            repeated_bytes=sum(self._val_sizes[i] for i in np.flatnonzero(self._repeats).tolist()),
        )


def _counts(state: BuildState, side: Side) -> SideCounts:
    return state.train if side == "train" else state.val


def _finish_side(folder: Path, side: Side, tokenizer: Tokenizer, counts: SideCounts) -> None:
    """Header, offsets and bytes; what a killed builder left of this is done again or is the same."""
    lengths_file = folder / f"{side}_lengths.raw"
    if not lengths_file.exists():
        return
    with (folder / SHARD[side]).open("r+b") as file:
        file.write(header(counts.tokens))
        file.flush()
        os.fsync(file.fileno())
    if side == "val" and not tokenizer.is_exact:
        raw = np.fromfile(folder / _VAL_BYTES_RAW, dtype="<u4")
        _check_side_bytes(raw, counts)
        with (folder / VAL_BYTES).open("wb") as file:
            np.save(file, raw, allow_pickle=False)
        (folder / _VAL_BYTES_RAW).unlink()
    lengths: NDArray[np.int64] = np.fromfile(lengths_file, dtype="<i8")
    partial = folder / f"{side}_offsets.raw"
    write_offsets(partial, np.concatenate(([0], np.cumsum(lengths))))
    partial.rename(folder / OFFSETS[side])  # from here on this side counts as finished
    lengths_file.unlink()


def _check_side_bytes(covered: NDArray[np.uint32], counts: SideCounts) -> None:
    found = int(covered.sum(dtype=np.int64))
    if found != counts.text_bytes or len(covered) != counts.tokens:
        raise DataError(
            f"the bytes of the validation tokens do not add up: {found:,} counted, {counts.text_bytes:,} in the text",
            fix="Delete the folder being built and prepare again.",
        )


def _check_repeats(source: StreamedSource, state: BuildState) -> None:
    share = state.repeated_bytes / state.val.text_bytes
    if share > MAX_REPEATED:
        raise DataError(
            f"{state.repeated_documents} of {state.val.documents} validation documents of {source.location} are in "
            f"training word for word ({share:.1%} of the validation text)",
            fix="Take them out of one side: a score on text that was trained on says nothing.",
        )


def _hint(source: StreamedSource) -> str:
    if len(source.val) + len(source.train) == 0:
        return "The folder is empty."
    return "Put documents into it, or into folders named train and val."
