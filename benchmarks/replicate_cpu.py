"""The staged program with real training at CPU size, and the page that shows what came of it.

    python -m benchmarks.replicate_cpu [--dir replicate-cpu] [--jobs 2] [--scale 1] [--out docs]

Runs studies/staged-screening-cpu.toml in DIR, going on where an earlier call ended, then writes replication-cpu.md
and its pictures into OUT.
"""

from __future__ import annotations

import argparse
import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import describe_machine
from foldover.core import Settings
from foldover.lab import Session, create, manifest, run_study
from foldover.lab.report_files import write_report_files

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "studies" / "staged-screening-cpu.toml"
NAME = "replication-cpu"
_PICTURE = re.compile(r"\]\(([\w.-]+\.svg)\)")


def main() -> int:
    """Run, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("replicate-cpu"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    session = create(STUDY, options.dir, scale=options.scale)
    run_study(session, Settings(jobs=options.jobs))
    command = f"python -m benchmarks.replicate_cpu --jobs {options.jobs} --scale {options.scale:g}"
    page = write_page(session, options.out, command=command)
    print(f"wrote {page}")
    return 0


def write_page(session: Session, out: Path, *, command: str) -> Path:
    """The report as a page with its pictures beside it, under a head that says where its numbers come from."""
    pictures = out / NAME
    shutil.rmtree(pictures, ignore_errors=True)
    write_report_files(session, "md", pictures)
    text = (pictures / "report.md").read_text(encoding="utf-8")
    shown = set(_PICTURE.findall(text))
    for path in pictures.iterdir():
        if path.name not in shown:
            path.unlink()
    found = manifest(session)
    with session.ledger() as ledger:
        minutes = sum(record.outcome.counters.number("total_seconds") for record in ledger.records()) / 60.0
    claims = [line for line in text.splitlines() if line.startswith(("- H1 ", "- H2 "))]
    head = [
        "# The staged program with real training",
        "",
        f"Written by `{command}` on {datetime.datetime.now(datetime.UTC).date()}: {found.ended} of {found.total} runs "
        "of [`staged-screening-cpu.toml`](../studies/staged-screening-cpu.toml) have ended, and took "
        f"{minutes:.0f} minutes of one slot in all; commit {_commit()}.",
        "",
        *(f"- {line}" for line in describe_machine()),
        "",
        "Very small models, trained for seconds on one processor: what holds here need not hold at the published size, "
        "and the other way round.",
        "",
        "## The two hypotheses",
        "",
        *(claims or ["- Neither could be tested."]),
        "",
    ]
    body = _PICTURE.sub(rf"]({NAME}/\1)", text).replace("\n# ", "\n## ", 1)
    body = re.sub(r"\A# ", "## ", body)
    page = out / f"{NAME}.md"
    page.write_text("\n".join([*head, body]), encoding="utf-8")
    return page


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    done = subprocess.run([git, "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
