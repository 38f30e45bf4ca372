from __future__ import annotations

import copy
import hashlib
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldover.core import ArtifactError, UserError, Values
from foldover.export import standalone
from foldover.export.container import Opened, pack_artifact, read_artifact, write_artifact
from foldover.export.envelope import seal, unseal
from foldover.export.inspection import inspect_artifact
from foldover.export.layout import FREE_BYTES
from foldover.export.parts import Part, StoredTensor

CODECS = ("auto", "ans", "raw", "zlib", "zstd", "lzma", "brotli")
TYPES = [("codes", "int8"), ("codes", "int16"), ("float", "float16"), ("float", "float32"), ("bytes", "uint8")]


def tensor(name: str, *parts: Part, shape: tuple[int, ...] = ()) -> StoredTensor:
    return StoredTensor(name=name, shape=shape, scheme="grid", settings=Values(bits=6), parts=parts)


def codes(rows: int = 40, columns: int = 50, seed: int = 0, name: str = "codes") -> Part:
    rng = np.random.default_rng(seed)
    spread = np.exp(0.3 * rng.normal(size=(rows, 1))) * np.exp(0.3 * rng.normal(size=(1, columns)))
    array = np.rint(5 * spread * rng.normal(size=(rows, columns))).clip(-31, 31).astype(np.int8)
    return Part(name=name, array=array, kind="codes")


def floats(count: int, kind: str, seed: int = 0) -> Part:
    return Part(name="values", array=np.random.default_rng(seed).normal(size=count).astype(kind), kind="float")


def model() -> list[StoredTensor]:
    return [
        tensor("mlp.output", codes(seed=2), floats(40, "float16"), shape=(40, 50)),
        tensor("attention.query", codes(50, 40, seed=1), shape=(50, 40)),
        tensor("gain", floats(7, "float32"), shape=(7,)),
        tensor("kept", floats(600, "float16", 5), shape=(20, 30)),
        tensor("signs", Part(name="bits", array=np.arange(9, dtype=np.uint8), kind="bytes"), shape=(72,)),
    ]


def same(found: Opened, wanted: list[StoredTensor]) -> bool:
    by_name = {item.name: item for item in wanted}
    for item in found.tensors:
        other = by_name.pop(item.name)
        if (item.shape, item.scheme, item.settings) != (other.shape, other.scheme, other.settings):
            return False
        for ours, theirs in zip(item.parts, other.parts, strict=True):
            if (ours.name, ours.kind, ours.array.dtype, ours.array.shape) != (
                theirs.name,
                theirs.kind,
                theirs.array.dtype,
                theirs.array.shape,
            ) or ours.array.tobytes() != theirs.array.tobytes():
                return False
    return not by_name


@st.composite
def any_parts(draw: st.DrawFn) -> Part:
    kind, dtype = draw(st.sampled_from(TYPES))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=24))
    if draw(st.booleans()):
        array = draw(hnp.arrays(dtype, shape))
    else:
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        scale = draw(st.sampled_from([0.3, 4, 60, 3000]))
        limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
        array = np.asarray((scale * rng.normal(size=shape)).clip(float(limits.min), float(limits.max))).astype(dtype)
    return Part(name="x", array=array, kind=kind)  # type: ignore[arg-type]


@given(st.lists(any_parts(), max_size=5), st.sampled_from(CODECS), st.binary(max_size=40))
@settings(max_examples=80)
def test_reading_gives_back_every_bit_and_so_does_the_reader_of_plain_python(
    parts: list[Part], codec: str, blob: bytes
) -> None:
    tensors = [tensor(f"t.{i}", part, shape=part.array.shape) for i, part in enumerate(parts)]
    data, _ = pack_artifact({"n": [1, None, "é"]}, tensors, {"b": blob}, codec=codec)  # type: ignore[arg-type]
    found = read_artifact(data)
    assert same(found, tensors)
    assert dict(found.header) == {"n": [1, None, "é"]}
    assert dict(found.blobs) == {"b": blob}
    header, raw, blobs = standalone.read(data)
    assert (header, blobs) == ({"n": [1, None, "é"]}, {"b": blob})
    assert [(p.tensor, p.dtype, p.shape, p.data) for p in raw] == [
        (item.name, part.array.dtype.name, part.array.shape, part.array.tobytes())
        for item in sorted(tensors, key=lambda t: t.name)
        for part in item.parts
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_same_content_gives_the_same_bytes_in_any_order(codec: str) -> None:
    first, used = pack_artifact({"a": 1, "b": 2}, model(), {"x": b"1", "y": b"2"}, codec=codec)  # type: ignore[arg-type]
    again, _ = pack_artifact({"b": 2, "a": 1}, model()[::-1], {"y": b"2", "x": b"1"}, codec=codec)  # type: ignore[arg-type]
    assert first == again
    assert codec in ("auto", used)


def test_every_float16_and_every_code_survives_the_coder() -> None:
    everything = np.arange(2**16, dtype=np.uint16)
    tensors = [
        tensor("a", Part(name="half", array=everything.view(np.float16), kind="float")),
        tensor("b", Part(name="wide", array=everything.view(np.int16).reshape(256, 256), kind="codes")),
        tensor("c", Part(name="byte", array=np.arange(256, dtype=np.uint8).view(np.int8), kind="codes")),
    ]
    assert same(read_artifact(pack_artifact({}, tensors, {}, codec="ans")[0]), tensors)


def test_arrays_that_are_read_can_be_written_to() -> None:
    for item in read_artifact(pack_artifact({}, model(), {}, codec="ans")[0]).tensors:
        assert all(part.array.flags.writeable for part in item.parts)


def test_file_on_disk_is_what_is_reported(tmp_path: Path) -> None:
    written = write_artifact(tmp_path / "model.artifact", {"x": 1}, model(), {"t": b"blob"}, codec="ans")
    data = (tmp_path / "model.artifact").read_bytes()
    assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert written.codec == "ans"
    assert [path.name for path in tmp_path.iterdir()] == ["model.artifact"]
    assert same(read_artifact(tmp_path / "model.artifact"), model())


def test_auto_is_no_larger_than_any_other() -> None:
    sizes = {codec: len(pack_artifact({}, model(), {"t": b"abc" * 99}, codec=codec)[0]) for codec in CODECS}  # type: ignore[arg-type]
    assert sizes["auto"] <= min(sizes.values()) + 8  # the header tells of other sections


def test_auto_leaves_our_coder_where_another_is_smaller() -> None:
    repeated = np.tile(np.random.default_rng(0).integers(-31, 32, (1, 500)), (400, 1)).astype(np.int8)
    data, used = pack_artifact({}, [tensor("a", Part(name="codes", array=repeated, kind="codes"))], {}, codec="auto")
    assert used != "ans"
    assert len(data) < 3000


def test_every_flipped_bit_is_noticed() -> None:
    data, _ = pack_artifact({"x": 1}, model()[:2], {}, codec="ans")
    for at in range(0, len(data), 13):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(ArtifactError):
            read_artifact(bytes(damaged))


def test_every_truncation_and_what_follows_the_end_is_refused() -> None:
    data, _ = pack_artifact({"x": 1}, model()[:2], {}, codec="zlib")
    for length in range(0, len(data), 17):
        with pytest.raises(ArtifactError):
            read_artifact(data[:length])
    with pytest.raises(ArtifactError, match="cut short or goes on"):
        read_artifact(data + b"\0")


def test_another_version_is_named() -> None:
    data = bytearray(pack_artifact({}, [], {}, codec="ans")[0])
    data[8:10] = struct.pack("<H", 2)
    with pytest.raises(ArtifactError, match=r"another version \(got 2\). This foldover reads 1"):
        read_artifact(bytes(data))


def test_files_that_are_no_artifacts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(ArtifactError, match="not an artifact"):
        read_artifact(tmp_path / "x")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_artifact(tmp_path / "absent")
    for endless in (tmp_path, Path("/dev/null")):  # as /dev/zero would be, or a pipe that nothing comes through
        with pytest.raises(ArtifactError, match="no file that can be read whole"):
            read_artifact(endless)


def test_a_large_file_that_is_no_artifact_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 28)
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="not an artifact"):
        read_artifact(tmp_path / "large")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def edited(change: Callable[[Any], object], codec: str = "ans") -> bytes:
    """A valid artifact whose header was changed, with a checksum that is right."""
    plain, payload = unseal(pack_artifact({"x": 1}, model(), {"tok": b"abc"}, codec=codec)[0])  # type: ignore[arg-type]
    plain = copy.deepcopy(plain)
    change(plain)
    return seal(plain, bytes(payload))


def part_of(plain: Any, dtype: str) -> Any:
    return next(p for t in plain["layout"]["tensors"] for p in t["parts"] if p["dtype"] == dtype)


HOSTILE: dict[str, Callable[[Any], object]] = {
    "an unknown key at the top": lambda p: p.update(code="exec"),
    "an unknown key of the layout": lambda p: p["layout"].update(pickle=""),
    "an unknown key of a part": lambda p: p["layout"]["tensors"][0]["parts"][0].update(x=1),
    "no layout": lambda p: p.pop("layout"),
    "a header that is a list": lambda p: p.update(header=[]),
    "a name that leads out": lambda p: p["layout"]["tensors"][0].update(name="../../etc/passwd"),
    "an absolute name": lambda p: p["layout"]["blobs"][0].update(name="/etc/passwd"),
    "an empty name": lambda p: p["layout"]["tensors"][0].update(name=""),
    "a name twice": lambda p: p["layout"]["tensors"][1].update(name=p["layout"]["tensors"][0]["name"]),
    "a shape that overflows": lambda p: part_of(p, "float32").update(shape=[2**31 - 1] * 8),
    "a huge shape": lambda p: part_of(p, "int8").update(shape=[2**20, 2**20]),
    "a large coded part in a small file": lambda p: part_of(p, "int8").update(shape=[FREE_BYTES]),
    "a negative shape": lambda p: part_of(p, "float32").update(shape=[-7]),
    "a shape with other bytes": lambda p: part_of(p, "float32").update(shape=[8]),
    "many dimensions": lambda p: part_of(p, "float32").update(shape=[1] * 9),
    "a type that is an object": lambda p: part_of(p, "float32").update(dtype="object"),
    "a type of another kind": lambda p: part_of(p, "int8").update(dtype="uint8"),
    "an unknown codec": lambda p: p["layout"]["sections"][0].update(codec="pickle"),
    "a section of huge size": lambda p: p["layout"]["sections"][-1].update(size=2**40),
    "a section beyond the file": lambda p: p["layout"]["sections"][-1].update(stored=10**6),
    "a negative section": lambda p: p["layout"]["sections"][-1].update(stored=-1),
    "an odd stride": lambda p: p["layout"]["sections"][-1].update(stride=3),
    "a section that is not there": lambda p: p["layout"]["blobs"][0].update(section=99),
    "a section of two owners": lambda p: p["layout"]["blobs"][0].update(section=p["layout"]["stream"]),
    "a family that is not there": lambda p: part_of(p, "int8")["coded"].update(family=9),
    "levels of later parts": lambda p: part_of(p, "int8")["coded"]["rows"].update(reference=5),
    "a family of no symbols": lambda p: p["layout"]["families"][0].update(size=0),
    "a family of many symbols": lambda p: p["layout"]["families"][0].update(size=2**30),
    "a family of many tables": lambda p: p["layout"]["families"][0].update(tables=2**30),
    "many families": lambda p: p["layout"].update(families=p["layout"]["families"] * 999),
    "another centre": lambda p: part_of(p, "int8")["coded"].update(center=30_000),
    "a number where a list belongs": lambda p: p["layout"].update(tensors=3),
    "an infinite setting": lambda p: p["layout"]["tensors"][0].update(settings={"x": {"y": 1}}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_header_is_refused_with(what: str) -> None:
    data = edited(HOSTILE[what])
    with pytest.raises(ArtifactError):
        read_artifact(data)


@pytest.mark.parametrize("kind", ["tensors", "blobs"])
def test_names_out_of_order_are_refused(kind: str) -> None:
    tensors = [tensor("a", codes(3, 4)), tensor("b", codes(3, 4))]
    plain, payload = unseal(pack_artifact({}, tensors, {"x": b"1", "y": b"2"}, codec="raw")[0])
    plain["layout"][kind].reverse()
    with pytest.raises(ArtifactError, match="names are out of order"):
        read_artifact(seal(plain, bytes(payload)))


def test_the_edits_above_start_from_what_can_be_read() -> None:
    assert same(read_artifact(edited(lambda plain: None)), model())


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "[" * 100_000, '{"a":NaN}', "3", "", "\xff", '{"a":' + "9" * 5000])
def test_headers_that_are_not_strict_json_are_refused(text: str) -> None:
    raw = text.encode("latin-1")
    front = struct.pack("<8sHBBIIQ", b"\x89FOLDOV\n", 1, 0, 0, len(raw), len(raw), 60 + len(raw))
    with pytest.raises(ArtifactError):
        read_artifact(front + hashlib.sha256(front + raw).digest() + raw)


def test_what_could_not_be_opened_is_not_written(tmp_path: Path) -> None:
    for bad in (
        [tensor("../x", codes())],
        [tensor("x", codes()), tensor("x", codes())],
        [tensor("x", codes(), codes())],
        [tensor("x", Part(name="a", array=np.zeros(3, dtype=np.float64), kind="float"))],
        [tensor("x", Part(name="a", array=np.zeros(3, dtype=np.int8), kind="float"))],
        [tensor("x", Part(name="a", array=np.zeros(2 * FREE_BYTES, dtype=np.int8), kind="codes"))],
    ):
        with pytest.raises(ArtifactError):
            write_artifact(tmp_path / "x", {}, bad, codec="zlib")
    with pytest.raises(ArtifactError, match="Put what is long in a blob"):
        write_artifact(tmp_path / "x", {"long": "x" * 5_000_000}, [])
    assert list(tmp_path.iterdir()) == []


def test_unknown_codec_and_levels_that_mean_nothing_are_user_errors() -> None:
    with pytest.raises(UserError, match="unknown codec"):
        pack_artifact({}, [], codec="zip")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no levels"):
        pack_artifact({}, [], codec="ans", level=3)
    with pytest.raises(UserError, match="Use 1 to 22"):
        pack_artifact({}, [], codec="zstd", level=99)


def test_lower_level_is_used() -> None:
    tensors = [tensor("a", codes(200, 200))]
    assert len(pack_artifact({}, tensors, codec="brotli", level=1)[0]) > len(
        pack_artifact({}, tensors, codec="brotli")[0]
    )


@pytest.mark.parametrize("codec", ["ans", "zstd"])
def test_inspection_accounts_for_every_byte(codec: str) -> None:
    data, _ = pack_artifact({"x": 1}, model(), {"tok": b"abc"}, codec=codec)  # type: ignore[arg-type]
    found = inspect_artifact(data)
    parts = sum(part.stored for part in found.parts)
    assert found.bytes == len(data)
    assert found.header + found.tables + parts + 3 == pytest.approx(len(data))
    assert [(part.tensor, part.part, part.raw) for part in found.parts][:2] == [
        ("attention.query", "codes", 2000),
        ("gain", "values", 28),
    ]
    assert {part.codec for part in found.parts if part.kind == "codes"} == {codec}


def test_header_json_is_canonical() -> None:
    data, _ = pack_artifact({"b": 1, "a": "é"}, [], codec="raw")
    plain, _ = unseal(data)
    assert list(plain) == ["header", "layout"]
    assert json.dumps(plain["header"], ensure_ascii=False) == '{"a": "é", "b": 1}'
