"""Hostile artifacts: whatever the bytes, reading them ends in success or in ArtifactError, soon and in bounded memory.

A fuzz target of its own: `make fuzz` runs this file, for FUZZ_SECONDS or for so many inputs. Inputs are random bytes,
valid artifacts of every codec with bytes changed, the same with the checksum made right again, and the same with
fields of the header replaced, so that every check behind the checksum is met. What is read is restored to weights too.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import hashlib
import json
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import numpy as np

from foldover.core import ArtifactError, Values
from foldover.export.container import pack_artifact, read_artifact, read_header
from foldover.export.envelope import seal, unseal
from foldover.export.parts import Part, StoredTensor
from foldover.export.restore import restore_tensor

# Address space beyond what the process has when it begins; no input may need more.
MOST_BYTES = 1 << 30
MOST_SECONDS = 20
ODD_NUMBERS = (-(2**70), -(2**31), -3, -2, -1, 0, 1, 2, 7, 255, 256, 511, 512, 2**16, 2**24, 2**31, 2**63, 2**200, 0.5)
ODD_TEXTS = ("", "..", "/etc/passwd", "a/../b", "a" * 5000, "raw", "brotli", "zip", "float64", "int16", "\x00", "codes")


def test_two_thousand_hostile_inputs_end_in_success_or_our_error() -> None:
    command = [sys.executable, __file__, "--inputs", "2000", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["inputs"] == 2000
    assert counts["read"] > 50  # some changes do no harm: the target is past the checksum
    assert counts["refused"] > 500


def test_an_input_that_breaks_the_reader_is_found() -> None:
    # The harness itself: an error of another kind ends the run, with the input.
    try:
        attempt(b"anything", reader=lambda data: 1 // 0)
    except ZeroDivisionError:
        return
    raise AssertionError("a foreign error was let through")


def seeds() -> list[bytes]:
    """Small artifacts of every codec, with every kind of part."""
    rng = np.random.default_rng(1)
    spread = np.exp(rng.normal(size=(40, 1))) * np.exp(rng.normal(size=(1, 33)))
    codes = (spread * rng.normal(size=(40, 33))).clip(-31, 31).astype("i1")
    scales = rng.uniform(0.01, 0.02, size=(40, 1)).astype("f2")
    tensors = [
        tensor(
            "a.codes",
            Part(name="codes", array=codes, kind="codes"),
            Part(name="scales", array=scales, kind="float"),
        ),
        tensor("b.wide", Part(name="codes", array=(300 * rng.normal(size=(20, 50))).astype("i2"), kind="codes")),
        tensor("c.half", Part(name="values", array=rng.normal(size=(30, 40)).astype("f2"), kind="float")),
        tensor("d.float", Part(name="values", array=rng.normal(size=70).astype("f4"), kind="float")),
        tensor("e.bytes", Part(name="left", array=rng.integers(0, 4, 99).astype("u1"), kind="bytes")),
        tensor("f.empty", Part(name="codes", array=np.zeros((0, 5), dtype="i1"), kind="codes")),
    ]
    tensors += [whole(rng, "g.whole", 0), whole(rng, "h.groups", 8)]
    blobs = {"tokenizer": bytes(rng.integers(0, 99, 300).astype("u1")), "empty": b""}
    header = {"levers": {"model.depth": 2, "text": "é"}, "digests": ["0" * 64]}
    codecs = ("ans", "auto", "raw", "zlib", "zstd", "lzma", "brotli")
    full = [pack_artifact(header, tensors, blobs, codec=codec)[0] for codec in codecs]
    return [*full, pack_artifact({}, [], {}, codec="ans")[0], pack_artifact({}, tensors[:1], {}, codec="ans")[0]]


def tensor(name: str, *parts: Part) -> StoredTensor:
    shape = parts[0].array.shape
    return StoredTensor(name=name, shape=shape, scheme="grid", settings=Values(bits=6, rule="row"), parts=parts)


def whole(rng: np.random.Generator, name: str, group: int) -> StoredTensor:
    """A tensor that can be restored, with every part that may be there."""

    def codes(*shape: int) -> np.ndarray:
        return rng.integers(-2, 2, shape).astype("i1")

    def halves(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype("f2")

    return StoredTensor(
        name=name,
        shape=(12, 20),
        scheme="grid",
        settings=Values(format="int6", exponent=1, group=group, lqer_group=6),
        parts=(
            Part(name="codes", array=codes(12, 20), kind="codes"),
            Part(name="scales", array=halves(12, 3 if group else 1), kind="float"),
            Part(name="columns", array=halves(20), kind="float"),
            Part(name="left", array=halves(12, 2), kind="float"),
            Part(name="right", array=halves(2, 20), kind="float"),
            Part(name="lqer_left", array=codes(12, 3), kind="codes"),
            Part(name="lqer_right", array=codes(3, 20), kind="codes"),
            Part(name="lqer_scales", array=halves(1 + 3 * 4), kind="float"),
        ),
    )


def changed(rng: random.Random, valid: list[bytes]) -> bytes:
    """One input."""
    data = rng.choice(valid)
    way = rng.randrange(10)
    if way == 0:
        start = rng.choice((b"", data[:8], data[:28], data[:60]))
        return start + rng.randbytes(rng.randrange(200))
    if way == 1:
        return changed_bytes(rng, data)
    if way == 2:
        return data[: rng.randrange(len(data))] + rng.choice((b"", rng.randbytes(9), data[rng.randrange(len(data)) :]))
    if way <= 4:
        return resealed(changed_bytes(rng, data))
    plain, payload = unseal(data)
    plain = copy.deepcopy(plain)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        change_field(rng, plain)
    body = changed_bytes(rng, bytes(payload)) if way == 9 and payload else bytes(payload)
    return seal(plain, body)


def changed_bytes(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        at = rng.randrange(len(out))
        out[at] = rng.choice((out[at] ^ (1 << rng.randrange(8)), rng.randrange(256), 0, 255))
    return bytes(out)


def resealed(data: bytes) -> bytes:
    """The same with length and checksum made right."""
    front = data[:20] + struct.pack("<Q", len(data))
    return front + hashlib.sha256(front + data[60:]).digest() + data[60:]


def change_field(rng: random.Random, plain: object) -> None:
    """Replace, drop, double or add one value somewhere in a JSON value."""
    node, parent, key = plain, None, None
    while isinstance(node, dict | list) and node and (parent is None or rng.random() < 0.85):
        parent = node
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        node = node[key]
    if parent is None:
        return
    way = rng.randrange(8)
    if way == 0:
        del parent[key]
    elif way == 1 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(node))
    elif way == 2 and isinstance(parent, dict):
        parent["unknown"] = 1
    elif way == 3:
        parent[key] = rng.choice(ODD_TEXTS)
    elif way == 4:
        parent[key] = rng.choice((None, True, [], {}, [[[]]], [2**31] * 8))
    elif isinstance(node, int) and rng.random() < 0.5:
        parent[key] = node + rng.choice((-2, -1, 1, 2, 256))
    else:
        parent[key] = rng.choice(ODD_NUMBERS)


def attempt(data: bytes, reader=read_artifact) -> str:
    try:
        tensors = reader(data).tensors
    except ArtifactError:
        return "refused"
    for each in tensors:
        with contextlib.suppress(ArtifactError):
            restore_tensor(each)
    return "read"


def stuck(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"an input took more than {MOST_SECONDS} s")


def limited() -> None:
    """Bound the address space of this process."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=0, help="stop after so many inputs")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so many seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    valid = seeds()
    for data in valid:
        read_header(data)
        for each in read_artifact(data).tensors:
            if each.name in ("g.whole", "h.groups"):
                restore_tensor(each)
    limited()
    signal.signal(signal.SIGALRM, stuck)
    rng = random.Random(options.seed)  # noqa: S311 (nothing is secret)
    counts, begin = Counter[str](), time.monotonic()
    slowest = 0.0
    while not (options.inputs and counts["inputs"] >= options.inputs):
        if options.seconds and time.monotonic() - begin >= options.seconds:
            break
        data = changed(rng, valid)
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        try:
            counts[attempt(data)] += 1
        except BaseException:
            path = Path(f"fuzz-{hashlib.sha256(data).hexdigest()[:16]}.artifact")
            path.write_bytes(data)
            print(f"input {counts['inputs']} of seed {options.seed} is kept as {path}", file=sys.stderr)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.monotonic() - start)
        counts["inputs"] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"seed {options.seed}, {time.monotonic() - begin:.0f} s, slowest {slowest:.2f} s, peak {peak / 1e6:.0f} MB")
    print(json.dumps(dict(sorted(counts.items()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
