"""Any stages in any order that their references allow: each is decided, agrees with its records, and is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldover.core import Settings
from foldover.lab import create, open_session, run_study, verify
from foldover.lab.report_files import write_report_files

HEAD = """
[study]
name = "odd"
question = "What?"
trainer = "simulator"
host = "windows"

[baseline]
preset = "autoresearch"

[hosts.windows]
here = true

[hosts.linux]
here = true

[factors.A]
lever = "depth"
low = 6
high = 8

[factors.D]
lever = "total_batch"
low = 262144
high = 524288
"""
SCREEN = '[[stages]]\nname = "screen"\nkind = "screen"\nruns = 4\nbudgets = ["2min", "5min"]\nseeds = [1, 2]\n'
AWAY = SCREEN.replace('"screen"\nkind', '"away"\nkind') + 'host = "linux"\n'
GREEDY = (
    '[[stages]]\nname = "greedy"\nkind = "search"\nstrategy = "greedy"\nruns = 4\nbudgets = ["5min"]\nseeds = [9]\n'
)
FIXED = SCREEN.replace("seeds = [1, 2]", 'regime = "fixed"\nseed = 5')
REPLICATE = (
    '[[stages]]\nname = "again"\nkind = "replicate"\npick = [{ role = "best", from = "screen", best = 2 }]\n'
    'budgets = ["5min"]\nregime = "fixed"\nseed = 5\nreruns = 2\n'
)
CARRIED = (
    '[[stages]]\nname = "carried"\nkind = "anchors"\npick = [{ role = "greedy", from = "greedy", best = 2 }]\n'
    'budgets = ["10min", "60min"]\nseeds = [3, 4]\nhost = "linux"\n'
)
REFINE = '[[stages]]\nname = "refine"\nkind = "refine"\nafter = "away"\nbudgets = ["5min"]\nseeds = [7, 8]\n'


@pytest.mark.parametrize(
    "stages",
    [(GREEDY,), (GREEDY, CARRIED), (GREEDY, SCREEN), (FIXED, REPLICATE), (AWAY, REFINE), (SCREEN, AWAY, REFINE)],
    ids=["a search", "a search carried", "a search, a screen", "one seed", "another host", "two hosts"],
)
def test_stages_of_any_choice_and_order_run_to_their_end(stages: tuple[str, ...], tmp_path: Path):
    path, root = tmp_path / "odd.toml", tmp_path / "s"
    path.write_text("\n".join((HEAD, *stages)), encoding="utf-8")
    run_study(create(path, root), Settings(jobs=1))
    session = open_session(root)
    assert [d.stage for d in session.workspace.decisions()] == [stage.name for stage in session.study.stages]
    assert verify(session) == ()
    for kind in ("md", "csv", "latex"):
        assert all(file.stat().st_size > 0 for file in write_report_files(session, kind, tmp_path / kind))
    summary = (tmp_path / "md" / "summary.md").read_text(encoding="utf-8")
    if "regime" in stages[0]:
        assert " is retained" not in summary
        assert " are retained" not in summary
        assert "one fixed seed" in summary.splitlines()[2]
