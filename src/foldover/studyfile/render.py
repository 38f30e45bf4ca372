"""Study -> TOML text that parses to the same study (but for its source)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from foldover.core import Budget, Factor, Host, Limit, Pick, Scalar, Stage, Study
from foldover.studyfile.sections import Allowance

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def render(study: Study) -> str:
    """The study as a file: every lever of the baseline and every constant is written out, comments are not kept."""
    common = _common_allowance([budget for stage in study.stages for budget in stage.budgets])
    blocks = [
        _block(
            "[study]",
            {
                "name": study.name,
                "question": study.question,
                "trainer": study.baseline.trainer,
                "response": study.response,
                "direction": study.direction,
                "seed": study.seed,
                "host": study.host or None,
            },
        ),
        _block("[baseline.set]", study.baseline.values),
        _block("[constants]", study.constants),
        _block("[budget]", {"grace_seconds": common.grace_seconds, "artifact_bytes": common.artifact_bytes}),
        *(_block(f"[factors.{factor.letter}]", _factor(factor)) for factor in study.factors),
        _block(
            "[decision]",
            {
                "correction": study.gate.correction,
                "method": study.gate.method,
                "q": study.gate.q,
                "smallest_effect": study.gate.smallest_effect,
                "level": study.gate.level,
                "more_seeds": study.gate.more_seeds,
                "fold_over": study.gate.fold_over,
            },
        ),
        *(_block(f"[hosts.{_key(host.label)}]", _host(host)) for host in study.hosts),
        *(_stage(stage, common) for stage in study.stages),
    ]
    return "\n".join(blocks)


def _factor(factor: Factor) -> dict[str, Scalar]:
    levels = {"lever": factor.lever, "low": factor.low, "high": factor.high, "center": factor.center}
    return levels if factor.kind == "choice" else {**levels, "scale": factor.scale}


def _stage(stage: Stage, common: Allowance) -> str:
    lines = [
        "[[stages]]",
        f"name = {_scalar(stage.name)}",
        f"kind = {_scalar(stage.kind)}",
        f"budgets = [{', '.join(_budget(budget, common) for budget in stage.budgets)}]",
    ]
    if stage.regime == "fixed":
        lines += ['regime = "fixed"', f"seed = {stage.seeds[0]}"]
    else:
        lines.append(f"seeds = {_array(stage.seeds)}")
    if stage.reruns != 1:
        lines.append(f"reruns = {stage.reruns}")
    lines += [f"{key} = {_scalar(value)}" for key, value in (("host", stage.host), ("package", stage.package)) if value]
    if stage.branch is not None:
        lines.append(f"branch = {_scalar(stage.branch)}")
    if stage.after is not None:
        lines.append(f"after = {_scalar(stage.after)}")
    if stage.design is not None and stage.kind != "surface":
        is_regular = stage.design.kind == "regular"
        lines.append(f"runs = {stage.design.runs}" if is_regular else f"design = {_scalar(stage.design.kind)}")
        if stage.design.generators:
            lines.append(f"generators = {_array(stage.design.generators)}")
    if stage.fix:
        levels = ", ".join(f"{letter} = {_scalar(level)}" for letter, level in stage.fix.items())
        is_by_verdict = set(stage.fix.values()) == {"better"}
        lines.append(f"fix = {_array(tuple(stage.fix))}" if is_by_verdict else f"fix = {{ {levels} }}")
    lines += _search(stage)
    if stage.picks:
        lines.append(f"pick = [{', '.join(_pick(pick) for pick in stage.picks)}]")
    elif stage.kind == "confirm":
        lines += [f"best = {stage.best}", f"worst = {stage.worst}"]
    if stage.centers:
        lines.append(f"centers = {_array(stage.centers)}")
    return "\n".join(lines) + "\n"


def _host(host: Host) -> dict[str, Scalar]:
    said: dict[str, Scalar] = {"title": host.title or None, "hourly_cost": host.hourly_cost or None}
    return {**said, "here": host.here, **host.settings}


def _pick(pick: Pick) -> str:
    given: dict[str, Scalar] = {
        "role": pick.role,
        "from": pick.stage,
        "condition": pick.condition or None,
        "best": pick.best or None,
        "worst": pick.worst or None,
        "budget": pick.budget.replace(",", "") or None,
        "among": pick.among or None,
        "match": pick.match or None,
        "trim": pick.trim or None,
        "label": pick.label or None,
    }
    entries = [f"{key} = {_scalar(value)}" for key, value in given.items() if value is not None]
    if pick.changes:
        entries.append(f"set = {{ {', '.join(f'{_key(k)} = {_scalar(v)}' for k, v in pick.changes.items())} }}")
    if pick.over:
        entries.append(f"over = {_array(pick.over)}")
    return f"{{ {', '.join(entries)} }}"


def _search(stage: Stage) -> list[str]:
    search = stage.search
    if search is None:
        return []
    lines = [f"strategy = {_scalar(search.strategy)}"]
    if search.runs is not None:
        lines.append(f"runs = {search.runs}")
    if search.cost is not None and stage.matched_to is None:
        lines.append(f"cost = {_limit(search.cost)}")
    if search.batch != 1 or search.strategy == "asha":
        lines.append(f"batch = {search.batch}")
    if search.letters:
        pairs = zip(search.letters, search.levels, strict=True)
        lines.append(f"levels = {{ {', '.join(f'{letter} = {_array(levels)}' for letter, levels in pairs)} }}")
    if stage.matched_to is not None:
        lines.append(f"matched_to = {_scalar(stage.matched_to)}")
    return lines


def _common_allowance(budgets: Sequence[Budget]) -> Allowance:
    """What all budgets share; the defaults where they do not agree, so that each can say its own."""
    graces = {budget.grace_seconds for budget in budgets}
    caps = {budget.artifact_bytes for budget in budgets}
    default = Allowance()
    return Allowance(
        grace_seconds=graces.pop() if len(graces) == 1 else default.grace_seconds,
        artifact_bytes=caps.pop() if len(caps) == 1 else default.artifact_bytes,
    )


def _limit(limit: Limit) -> str:
    # Limit.parse reads no negative exponents, so a small number is written out.
    is_whole = limit.amount == int(limit.amount)
    number = str(int(limit.amount)) if is_whole else format(Decimal(repr(limit.amount)), "f")
    return _scalar(f"{number}s" if limit.kind == "seconds" else f"{number} {limit.kind}")


def _budget(budget: Budget, common: Allowance) -> str:
    limit, own = _limit(budget.limit), ""
    if budget.grace_seconds != common.grace_seconds:
        own += f", grace_seconds = {_scalar(budget.grace_seconds)}"
    if budget.artifact_bytes != common.artifact_bytes:
        own += f", artifact_bytes = {_scalar(budget.artifact_bytes)}"
    return f"{{ limit = {limit}{own} }}" if own else limit


def _block(header: str, entries: Mapping[str, Scalar]) -> str:
    lines = [f"{_key(name)} = {_scalar(value)}" for name, value in entries.items() if value is not None]
    return "\n".join([header, *lines]) + "\n"


def _array(items: Sequence[Scalar]) -> str:
    return f"[{', '.join(_scalar(item) for item in items)}]"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _scalar(name)


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, except that TOML wants DEL escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return repr(value)
