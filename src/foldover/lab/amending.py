"""A study that is changed after its first run: what may change, and the record that it did."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import foldover
from foldover.core import Study, UserError, digest
from foldover.lab.changes import Amendment, amendments
from foldover.lab.session import check, open_session, read_study
from foldover.lab.verbs import collect
from foldover.rundir import write_atomic


def amend(path: Path, root: Path, *, reason: str) -> Amendment:
    """Put the study in a file in the place of the one that `root` holds, and record it with the time and the reason.

    Only what nothing rests on yet may change: stages that are not planned, and the gate before the first decision. The
    former text is kept beside the new one, and the ledger is made anew. Raises UserError for anything else.
    """
    if not reason.strip():
        raise UserError("an amendment needs a reason", fix="Say why the study changes: --reason TEXT.")
    session = open_session(root)
    workspace, before, after = session.workspace, session.declared, check(path)
    with workspace.hold():
        changed = _changes(before, after)
        if not changed:
            raise UserError(f"{path} says what {root} holds already: there is nothing to amend")
        planned = {plan.stage for plan in workspace.plans()}
        fixed = _fixed(before, after, changed, planned, is_decided=bool(workspace.decisions()))
        if fixed:
            raise UserError(
                f"what was run rests on {', '.join(fixed)}, which cannot be amended any more",
                fix="Change only stages that are not planned yet, or start a new study in another --dir.",
            )
        made = Amendment(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            reason=reason.strip(),
            before=digest(replace(before, source="")),
            after=digest(replace(after, source="")),
            changed=tuple(changed),
            version=foldover.__version__,
        )
        held = amendments(root)
        write_atomic(root / f"study-before-{len(held) + 1:02d}.toml", workspace.study_path.read_text(encoding="utf-8"))
        lines = [json.dumps(_plain(each), ensure_ascii=False) for each in (*held, made)]
        write_atomic(workspace.amendments_path, "\n".join(lines) + "\n")
        write_atomic(workspace.study_path, read_study(path))
        collect(open_session(root), rebuild_ledger=True)
    return made


def _changes(before: Study, after: Study) -> list[str]:
    """Names of what differs: fields of the study, and stages one by one."""
    own = [field.name for field in fields(Study) if field.name not in ("source", "stages")]
    changed = [name for name in own if getattr(before, name) != getattr(after, name)]
    stages = {stage.name: stage for stage in before.stages}
    later = {stage.name: stage for stage in after.stages}
    changed += [f"stage {name}" for name in {**stages, **later} if stages.get(name) != later.get(name)]
    if [name for name in stages if name in later] != [name for name in later if name in stages]:
        changed.append("the order of stages")
    return changed


def _fixed(before: Study, after: Study, changed: list[str], planned: set[str], *, is_decided: bool) -> list[str]:
    """What of the changes something rests on."""
    free = {"question", "hosts"} | (set() if is_decided else {"gate"})
    return [
        name
        for name in changed
        if (name.startswith("stage ") and name.removeprefix("stage ") in planned)
        or (not name.startswith("stage ") and name not in free)
    ]


def _plain(amendment: Amendment) -> dict[str, object]:
    return {field.name: getattr(amendment, field.name) for field in fields(Amendment)}
