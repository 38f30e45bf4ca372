"""Shipped studies with real training, made very small: every stage ends, the report is whole, once is enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import Settings
from foldover.lab import Session, create, open_session, report_document, run_study

STUDIES = Path(__file__).parents[2] / "studies"

# Models of 20 to 60 thousand parameters, fewer seeds and runs; all stages, gates, picks and hosts stay.
SMALLER = (("eval_tokens = 16384", "eval_tokens = 1024"),)
BEYOND = (
    *SMALLER,
    ("low = 8\nhigh = 24", "low = 8\nhigh = 16"),
    ("low = 1024\nhigh = 2048", "low = 256\nhigh = 512"),
    ("aspect = 16", "aspect = 12"),
    ('["40e9 flops", "100e9 flops", "200e9 flops"]', '["40e9 flops", "50e9 flops", "60e9 flops"]'),
    ('["100e9 flops", "200e9 flops", "400e9 flops"]', '["40e9 flops", "60e9 flops"]'),
    ('["200e9 flops"]', '["40e9 flops"]'),
    ("seeds = [1, 2, 3, 4]", "seeds = [1, 2]"),
    ("seeds = [11, 12, 13, 14]", "seeds = [11, 12]"),
    ("seeds = [21, 22, 23]", "seeds = [21, 22]"),
)
STAGED = (
    *SMALLER,
    ("low = 16\nhigh = 32", "low = 8\nhigh = 16"),
    ("low = 512\nhigh = 2048", "low = 256\nhigh = 512"),
    ('preset = "micro"', 'preset = "micro"\n\n[baseline.set]\nhead_dim = 8'),
    # Workers of another arithmetic would be started afresh at each of its stages.
    ('kernels = "torch"\ncompute = "fp32"\n', ""),
    ("set = { aspect = 24 }", "set = { aspect = 12 }"),
    ("runs = 50", "runs = 5"),
    ("runs = 20", "runs = 5"),
    ("runs = 80\nbatch = 16", "runs = 16\nbatch = 8"),
    ("seeds = [201, 202, 203, 204, 205]", "seeds = [201]"),
    ("seeds = [101, 102, 103, 104, 105]", "seeds = [101, 102]"),
    ("seeds = [301, 302, 303, 304]", "seeds = [301]"),
    ("seeds = [401, 402]", "seeds = [401]"),
    ("seeds = [11, 12]", "seeds = [11]"),
    ("reruns = 3", "reruns = 2"),
    ('["50e9 flops", "125e9 flops", "250e9 flops"]', '["50e9 flops", "60e9 flops"]'),
    ('["125e9 flops", "250e9 flops"]', '["60e9 flops"]'),
    ('["125e9 flops"]', '["60e9 flops"]'),
    ("1250e9", "80e9"),
    ("2000e9", "90e9"),
    ("250e9", "60e9"),
    ("750e9", "70e9"),
)


def smaller(name: str, changes: tuple[tuple[str, str], ...], scale: float, folder: Path) -> Session:
    """The shipped study with these changes, its budgets multiplied, in a folder of its own."""
    text = (STUDIES / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return create(path, folder / "run", scale=scale)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "scale", "sections"),
    [
        (
            "beyond",
            BEYOND,
            0.04,
            {
                "fidelity-screen", "speed-screen", "pairing-screen", "trunks-screen", "sizes-anchors",
                "pairing-anchors", "trunks-anchors", "fidelity-anchors", "surface-surface",
            },
        ),
        (
            "staged-screening-cpu",
            STAGED,
            0.032,
            {
                "accounting", "effects-pilot", "reruns-extremes-short", "greedy-greedy-middle",
                "refinement-seeds", "separation-seeds", "ordering-anchors", "sizes-anchors", "random-random",
            },
        ),
    ],
)  # fmt: skip
def test_a_shipped_study_ends_with_its_report_and_once_only(name, changes, scale, sections, tmp_path, prepared):
    session = smaller(name, changes, scale, tmp_path)
    document = run_study(session, Settings(jobs=2, threads=1))
    assert [decision.stage for decision in session.workspace.decisions()] == [s.name for s in session.study.stages]
    assert {run["status"] for run in document["runs"]} == {"finished"}
    assert sections <= {section["name"] for section in document["sections"]}
    kept = {path: path.stat().st_mtime_ns for path in session.workspace.root.glob("runs/*/*")}
    assert kept
    again = open_session(session.workspace.root)
    assert run_study(again, Settings(jobs=2, threads=1)) == document
    assert {path: path.stat().st_mtime_ns for path in session.workspace.root.glob("runs/*/*")} == kept
    assert report_document(again) == document
