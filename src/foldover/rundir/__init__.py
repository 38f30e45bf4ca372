"""The run-folder protocol: file names, atomic writes, locks and checksums.

    ROOT/runs/RUN_ID/             a run that ended, complete: it appears by one rename
    ROOT/runs/.partial/RUN_ID/    a run at work, written only by its worker, which holds RUN_ID.lock
    ROOT/runs/.lost/RUN_ID-N/     attempt N of a run whose worker died; kept as evidence

Each folder holds `spec.json` (what was planned, and the attempt), `outcome.json`, `curve.jsonl`,
`events.jsonl`, `log.txt` and `checksums.json` (sha256 of every other file).
"""

from foldover.rundir.files import (
    read_json_lines,
    sha256_of_file,
    sync_folder,
    write_atomic,
)
from foldover.rundir.folder import CHECKSUMS, OUTCOME, SPEC, EndedRun, RunFolder, damage, read_ended, verified
from foldover.rundir.root import RunRoot

__all__ = [
    "CHECKSUMS",
    "OUTCOME",
    "SPEC",
    "EndedRun",
    "RunFolder",
    "RunRoot",
    "damage",
    "read_ended",
    "read_json_lines",
    "sha256_of_file",
    "sync_folder",
    "verified",
    "write_atomic",
]
