"""Whatever was changed after it was collected is found, and the run is named."""

from __future__ import annotations

import json
import shutil

import pytest

from foldover.ledger import Ledger, verify_folders
from foldover.rundir import sha256_of_file


def problems_of(lab):
    with Ledger.open(lab.db, read_only=True) as ledger:
        return verify_folders(ledger, lab.root)


def folder_of(lab, number):
    return lab.root / "runs" / lab.specs[number].run_id


def test_untouched_folders_agree(filled):
    assert problems_of(filled) == ()


@pytest.mark.parametrize("name", ["spec.json", "outcome.json", "curve.jsonl", "events.jsonl"])
def test_one_changed_byte_names_the_run_and_the_file(filled, name):
    path = folder_of(filled, 4) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert problems_of(filled) == ((filled.specs[4].run_id, f"{name} was changed"),)


def test_a_changed_file_with_its_checksum_made_to_fit_is_noticed(filled):
    folder = folder_of(filled, 4)
    outcome = json.loads((folder / "outcome.json").read_text())
    outcome["responses"]["val_bpb"] = 0.1
    (folder / "outcome.json").write_text(json.dumps(outcome))
    checksums = json.loads((folder / "checksums.json").read_text())
    checksums["outcome.json"] = sha256_of_file(folder / "outcome.json")
    (folder / "checksums.json").write_text(json.dumps(checksums))
    assert problems_of(filled) == (
        (filled.specs[4].run_id, "checksums.json is not the one that was collected"),
        (filled.specs[4].run_id, "outcome.json is not the one that was collected"),
    )


def test_a_missing_folder_is_named(filled):
    shutil.rmtree(folder_of(filled, 7))
    run_id = filled.specs[7].run_id
    assert problems_of(filled) == ((run_id, f"the folder runs/{run_id} is missing"),)


def test_a_folder_that_was_never_collected_is_named(lab, ledger):
    lab.run(lab.root, lab.specs[0])
    run_id = lab.specs[0].run_id
    assert verify_folders(ledger, lab.root) == ((run_id, f"the folder runs/{run_id} is not in the ledger"),)


def test_a_stray_folder_is_named(filled):
    (filled.root / "runs" / "notes").mkdir()
    assert problems_of(filled) == (("notes", "the folder runs/notes is not in the ledger"),)


def test_a_missing_checksum_file_is_named(filled):
    (folder_of(filled, 2) / "checksums.json").unlink()
    ((run_id, what),) = problems_of(filled)
    assert run_id == filled.specs[2].run_id
    assert "checksums.json cannot be read" in what


def test_a_changed_lost_attempt_is_named(filled):
    (lost,) = (filled.root / "runs" / ".lost").iterdir()
    (lost / "curve.jsonl").write_text("")
    assert problems_of(filled) == ((filled.specs[0].run_id, f".lost/{lost.name}: curve.jsonl was changed"),)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE run SET spec = replace(spec, 'toy', 'tyo')", "spec"),
        ("UPDATE attempt SET status = 'diverged'", "status"),
        ("UPDATE response SET value = value - 1", "responses"),
        ("UPDATE attempt SET outcome = replace(outcome, '\"steps\":20', '\"steps\":21')", "outcome"),
        ("UPDATE attempt SET events = '[]'", "events"),
        ("UPDATE attempt SET curve = zeroblob(length(curve))", "curve"),
    ],
)
def test_a_row_edited_in_the_ledger_is_noticed(filled, change, what):
    with Ledger.open(filled.db) as ledger:
        ledger._connection.execute(f"{change} WHERE run_id = ?", (filled.specs[6].run_id,))
    assert problems_of(filled) == ((filled.specs[6].run_id, f"{what} in the ledger: not what the folder says"),)


def test_a_sound_ledger_file_has_no_damage(filled):
    with Ledger.open(filled.db, read_only=True) as ledger:
        assert ledger.damage() == ()
