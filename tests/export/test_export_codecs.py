from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import ArtifactError, UserError
from foldover.export.codecs import CODECS, PLAIN_CODECS, CodecName, available_codecs, compress, decompress
from foldover.export.shuffle import shuffle, unshuffle

SAMPLES = {
    "empty": b"",
    "one byte": b"\x07",
    "odd": bytes(range(251)) * 3,
    "random": np.random.default_rng(0).bytes(4099),
    "alike": b"\0" * 300_000,
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", SAMPLES)
def test_every_codec_gives_back_what_it_took(codec: CodecName, name: str) -> None:
    assert decompress(compress(SAMPLES[name], codec), codec, len(SAMPLES[name])) == SAMPLES[name]


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "raw"])
@pytest.mark.parametrize("name", ["odd", "random", "alike"])
def test_data_cut_short_lengthened_or_of_another_size_is_refused(codec: CodecName, name: str) -> None:
    data, size = compress(SAMPLES[name], codec), len(SAMPLES[name])
    for damaged, declared in (
        (data[:-1], size),
        (data[: len(data) // 2], size),
        (b"", size),
        (data + b"x", size),
        (data, size - 1),
        (data, size + 1),
        (data, 0),
    ):
        with pytest.raises(ArtifactError):
            decompress(damaged, codec, declared)


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "raw"])
def test_bomb_makes_no_more_than_was_declared(codec: CodecName) -> None:
    import tracemalloc

    bomb = compress(b"\0" * 50_000_000, codec, 1)
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError):
            decompress(bomb, codec, 1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


def test_the_extra_is_installed_here_and_plain_codecs_need_none() -> None:
    assert available_codecs() == CODECS
    assert set(PLAIN_CODECS) == {"raw", "zlib", "lzma"}


def test_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert available_codecs() == PLAIN_CODECS
    with pytest.raises(UserError, match=r"needs zstandard.*foldover\[export\]"):
        compress(b"abc", "zstd")
    with pytest.raises(UserError, match="needs brotli"):
        decompress(b"abc", "brotli", 3)


def test_level_out_of_range_is_refused_with_the_range() -> None:
    with pytest.raises(UserError, match="Use 0 to 11"):
        compress(b"abc", "brotli", 12)


@given(st.binary(max_size=50), st.sampled_from([1, 2, 4]))
@settings(max_examples=200)
def test_unshuffle_undoes_shuffle_for_every_length(data: bytes, stride: int) -> None:
    assert unshuffle(shuffle(data, stride), stride) == data


def test_shuffle_puts_equal_bytes_of_numbers_side_by_side() -> None:
    assert shuffle(b"aAbBc", 2) == b"abcAB"
    assert shuffle(b"123412341", 4) == b"111223344"
