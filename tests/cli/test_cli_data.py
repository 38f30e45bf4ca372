from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foldover.cli import app
from foldover.core import FoldoverError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    folder = tmp_path / "essays"
    for side, count in (("train", 5), ("val", 2)):
        (folder / side).mkdir(parents=True)
        for i in range(count):
            (folder / side / f"{i}.txt").write_text(
                f"The {side} essay {i}: über Gipfel, many words long. " * 9, "utf-8"
            )
    return folder


def data(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)], catch_exceptions=True)
    if isinstance(result.exception, FoldoverError):
        assert result.exception.exit_code == code, result.exception
    else:
        assert result.exit_code == code, result.output
    return result


def test_prepare_says_what_was_made(cache: Path, essays: Path) -> None:
    output = data("prepare", f"path:{essays}", "--tokenizer", "bytes", "--quiet").output
    assert "training: 5 documents" in output
    assert "validation: 2 documents" in output


def test_prepare_has_json(cache: Path, essays: Path) -> None:
    plain = json.loads(data("prepare", f"path:{essays}", "--tokenizer", "bytes", "--quiet", "--json").stdout)
    assert sorted(plain) == ["accounting", "digests", "folder", "meta", "references"]
    assert Path(plain["folder"]).parent == cache


def test_prepare_takes_the_size_of_a_tokenizer_that_exists(cache: Path, essays: Path) -> None:
    plain = json.loads(data("prepare", f"path:{essays}", "--tokenizer", "bytes", "--quiet", "--json").stdout)
    assert plain["meta"]["vocab_size"] == 260


def test_inspect_counts_documents_and_gives_the_pin(cache: Path, essays: Path) -> None:
    plain = json.loads(data("inspect", f"path:{essays}", "--json").stdout)
    assert [(side["side"], side["documents"]) for side in plain["sides"]] == [("train", 5), ("val", 2)]
    assert json.loads(data("inspect", plain["pinned"], "--json").stdout)["digest"] == plain["digest"]


def test_inspect_counts_repeated_documents(cache: Path, essays: Path) -> None:
    (essays / "train" / "again.txt").write_bytes((essays / "train" / "0.txt").read_bytes())
    (essays / "train" / "leak.txt").write_bytes((essays / "val" / "0.txt").read_bytes())
    train, val = json.loads(data("inspect", f"path:{essays}", "--json").stdout)["sides"]
    assert (train["repeated"], train["in_other_side"], val["in_other_side"]) == (1, 1, 1)


def test_compare_encodes_the_same_documents(cache: Path, essays: Path) -> None:
    plain = json.loads(data("compare", f"path:{essays}", "bytes", "bpe:270", "--quiet", "--json").stdout)
    one, other = plain["tokenizers"]
    assert one["tokens"] == plain["text_bytes"] > other["tokens"]
    assert (one["bytes_per_token"], other["piece_bytes_ratio"]) == (1.0, 1.0)


def test_compare_prints_a_line_a_tokenizer(cache: Path, essays: Path) -> None:
    lines = data("compare", f"path:{essays}", "bytes", "bpe:270", "--quiet").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["tokenizer", "bytes", "bpe:270"]


def test_compare_needs_a_size_of_what_it_trains(cache: Path, essays: Path) -> None:
    result = data("compare", f"path:{essays}", "bpe", code=2)
    assert "Write bpe:1024" in str(result.exception)


def test_list_of_an_empty_cache_says_so(cache: Path) -> None:
    assert data("list").output == "nothing is prepared\n"


def test_list_names_what_is_prepared(cache: Path, essays: Path) -> None:
    data("prepare", f"path:{essays}", "--tokenizer", "bytes", "--quiet")
    (only,) = json.loads(data("list", "--json").stdout)["prepared"]
    assert (only["condition"], only["meta"]["tokenizer"]) == ("whole", "bytes")


def test_list_shows_damage_and_exits_with_1(cache: Path, essays: Path) -> None:
    data("prepare", f"path:{essays}", "--tokenizer", "bytes", "--quiet")
    (folder,) = (path for path in cache.iterdir() if not path.name.startswith("."))
    (folder / "val.bin").write_bytes(b"")
    assert "damaged files: val.bin" in data("list", code=1).output


def test_a_corpus_that_is_not_there_exits_with_2(cache: Path, tmp_path: Path) -> None:
    assert "no corpus at this path" in str(data("prepare", f"path:{tmp_path / 'no'}", "--quiet", code=2).exception)
