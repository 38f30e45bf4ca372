"""What a run folder says, and how damage shows."""

from __future__ import annotations

import json

import pytest

import foldover.rundir
from foldover.core import LedgerError
from foldover.rundir import RunFolder, damage, read_ended, read_json_lines, write_atomic


def test_an_ended_run_reads_as_it_was_written(ended, spec, outcome):
    run = read_ended(ended)
    assert (run.spec, run.attempt, run.outcome) == (spec, 1, outcome)
    assert run.curve == ({"loss": 4.0, "step": 0}, {"loss": 3.0, "step": 1})
    assert run.events == ({"event": "warmdown", "step": 1},)


def test_a_read_spec_has_the_id_of_the_run(ended, spec):
    assert read_ended(ended).spec.run_id == spec.run_id == ended.name


def test_a_run_without_curve_and_events_has_none(root, spec, outcome):
    with root.claim(spec) as folder:
        path = root.finish(folder, outcome)
    assert (read_ended(path).curve, read_ended(path).events) == ((), ())


def test_a_fresh_folder_is_not_damaged(ended):
    assert damage(ended) == ()


def test_a_changed_byte_names_the_file(ended):
    (ended / "log.txt").write_text("hallo\n")
    assert damage(ended) == ("log.txt was changed",)


def test_missing_and_added_files_are_named(ended):
    (ended / "log.txt").unlink()
    (ended / "notes.txt").touch()
    assert damage(ended) == ("log.txt is missing", "notes.txt was added")


def test_files_in_folders_of_the_run_have_checksums_too(root, spec, outcome):
    with root.claim(spec) as folder:
        (folder.path / "artifact").mkdir()
        (folder.path / "artifact" / "checksums.json").write_text("{}")
        path = root.finish(folder, outcome)
    (path / "artifact" / "checksums.json").write_text("{ }")
    assert damage(path) == ("artifact/checksums.json was changed",)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_unreadable_checksums_are_damage(ended, content):
    (ended / "checksums.json").write_text(content)
    assert len(damage(ended)) == 1


@pytest.mark.parametrize("name", ["spec.json", "outcome.json"])
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"version": 1, "attempt": 1, "spec": {}}'])
def test_a_file_that_cannot_be_read_is_an_error_that_names_the_run(ended, name, content):
    (ended / name).write_text(content)
    with pytest.raises(LedgerError, match=f"run folder {ended.name}"):
        read_ended(ended)


def test_a_folder_of_another_version_is_refused(ended):
    plain = json.loads((ended / "spec.json").read_text())
    (ended / "spec.json").write_text(json.dumps({**plain, "version": 99}))
    with pytest.raises(LedgerError, match="has version 99"):
        read_ended(ended)


def test_a_spec_with_an_impossible_limit_is_damage_and_not_the_users_mistake(ended):
    plain = json.loads((ended / "spec.json").read_text())
    plain["spec"]["budget"]["limit"]["amount"] = -1.0
    (ended / "spec.json").write_text(json.dumps(plain))
    with pytest.raises(LedgerError, match="no plan of a run"):
        read_ended(ended)


def test_a_curve_refuses_what_is_not_a_finite_number(tmp_path, spec):
    folder = RunFolder(tmp_path / "run", spec, 1)
    folder.begin()
    with pytest.raises(ValueError, match="JSON"):
        folder.add_to_curve(loss=float("nan"))
    folder._curve.close()


def test_a_last_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":')
    assert read_json_lines(path) == [{"a": 1}, {"a": 2}]


def test_damage_before_the_last_line_is_an_error(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_bytes(b'{"a":\n{"a":2}\n')
    with pytest.raises(ValueError, match="Expecting value"):
        read_json_lines(path)


def test_an_absent_file_has_no_lines(tmp_path):
    assert read_json_lines(tmp_path / "curve.jsonl") == []


def test_an_atomic_write_replaces_the_whole_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "a long first content")
    write_atomic(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_to_a_full_disk_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_package_exports_what_it_says():
    names = foldover.rundir.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(foldover.rundir, name) for name in names)
