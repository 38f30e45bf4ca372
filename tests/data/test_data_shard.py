from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldover.core import DataError
from foldover.data import read_shard, write_shard

# Beside the checkout, where it is there at all.
PUBLISHED = Path(__file__).parents[3] / "shared/data/token_shards_sp1024/openstax_val_000000.bin"
TOKENS = np.array([1020, 0, 65_535, 7], dtype=np.uint16)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    write_shard(tmp_path / "x.bin", TOKENS)
    return tmp_path / "x.bin"


def test_tokens_round_trip(shard: Path) -> None:
    assert np.array_equal(read_shard(shard), TOKENS)


def test_the_file_has_the_header_of_the_public_format(shard: Path) -> None:
    header = np.frombuffer(shard.read_bytes()[:1024], dtype="<i4")
    assert header[:3].tolist() == [20240520, 1, 4]
    assert not header[3:].any()


def test_tokens_are_little_endian_uint16_after_1024_bytes(shard: Path) -> None:
    assert shard.read_bytes()[1024:] == bytes([252, 3, 0, 0, 255, 255, 7, 0])


def test_tokens_are_mapped_read_only(shard: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        read_shard(shard)[0] = 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: data + b"\0\0", "cut short"),
        (lambda data: data[:1000], "not a token shard"),
        (lambda data: b"", "not a token shard"),
        (lambda data: b"\1" + data[1:], "not a token shard"),
        (lambda data: data[:4] + b"\2" + data[5:], "unknown version"),
        (lambda data: data[:8] + bytes(4) + data[12:1024], "0 tokens"),
    ],
)
def test_a_damaged_shard_is_refused(shard: Path, damage: object, message: str) -> None:
    shard.write_bytes(damage(shard.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        read_shard(shard)


def test_an_absent_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_shard(tmp_path / "none.bin")


def test_a_published_shard_is_read_as_it_is() -> None:
    if not PUBLISHED.exists():
        pytest.skip("the published shard is not on this machine")
    tokens = read_shard(PUBLISHED)
    assert (len(tokens), tokens[0]) == (640_396, 1)
