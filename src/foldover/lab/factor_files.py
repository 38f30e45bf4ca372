"""Factors from a file: TOML, JSON or CSV."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from foldover.core import DesignError, Factor, FactorKind, Scalar
from foldover.core.lever import Scale
from foldover.lab.tables import read_table, text_of

_ALIASES = {"name": "lever", "centre": "center"}


def read_factors(path: Path) -> tuple[Factor, ...]:
    """The factors declared in a TOML, JSON or CSV file.

    TOML: a table `[factors.A]` each, with `name`, `low`, `high` and what else `Factor` has; JSON: a list of objects
    with `letter`, or an object by letter; CSV: columns letter, name, low, high [, center, scale, kind, levels,
    multiple_of], levels separated by spaces or bars. Without letters they are given in order.
    Raises DesignError that names the factor and the field.
    """
    kind = path.suffix.lower()
    entries = _entries_of_csv(path) if kind == ".csv" else _entries_of(path, _parsed(path, kind))
    if not entries:
        raise DesignError(f"{path} declares no factors", fix="Give each a name, a low and a high level.")
    taken = [str(entry["letter"]) for entry in entries if entry.get("letter")]
    return tuple(_factor(path, entry, taken, i) for i, entry in enumerate(entries))


def _parsed(path: Path, kind: str) -> object:
    text, _ = text_of(path)
    if kind == ".toml":
        import tomllib  # late: only this kind of file needs it

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DesignError(f"{path}: not TOML: {error}") from None
    if kind == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise DesignError(f"{path}: not JSON: {error}") from None
    raise DesignError(f"{path}: factors are read from .toml, .json or .csv files", value=kind)


def _entries_of(path: Path, plain: object) -> list[dict[str, object]]:
    if isinstance(plain, dict):
        inner = plain.get("factors", plain)
        if isinstance(inner, dict):
            if not all(isinstance(entry, dict) for entry in inner.values()):
                raise DesignError(f"{path}: each factor must be a table with name, low and high", value=list(inner))
            return [{"letter": letter, **entry} for letter, entry in inner.items()]
        plain = inner
    if isinstance(plain, list) and all(isinstance(entry, dict) for entry in plain):
        return [dict(entry) for entry in plain]
    raise DesignError(f"{path} does not list factors", fix="Give a list of factors with letter, name, low and high.")


def _entries_of_csv(path: Path) -> list[dict[str, object]]:
    table = read_table(path)
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in zip(*table.columns.values(), strict=True)]
    entries = []
    for row in rows:
        entry: dict[str, object] = {name: cell for name, cell in row.items() if cell}
        if "levels" in entry:
            entry["levels"] = [_scalar(level) for level in re.split(r"[\s|]+", str(entry["levels"]))]
        for name in ("low", "high", "center", "multiple_of"):
            if name in entry:
                entry[name] = _scalar(str(entry[name]))
        entries.append(entry)
    return entries


def _factor(path: Path, entry: Mapping[str, object], taken: Sequence[str], number: int) -> Factor:
    from foldover.designs import ALPHABET  # late: only a design needs it

    fields = {_ALIASES.get(name, name): value for name, value in entry.items()}
    letter = str(fields.pop("letter", "") or "")
    letter = letter or next(x for x in ALPHABET[number:] + ALPHABET if x not in taken and x not in ALPHABET[:number])
    what = f"{path}: factor {letter}"
    known = {field.name for field in dataclasses.fields(Factor)}
    unknown = sorted(set(fields) - known)
    if unknown:
        fields_there = ", ".join(sorted({*known, "name"} - {"lever"}))
        raise DesignError(f"{what} has unknown fields", value=unknown, fix=f"There are {fields_there}.")
    if "levels" in fields:
        levels = fields["levels"]
        if not isinstance(levels, list) or len(levels) < 2:
            raise DesignError(f"{what}: levels must be a list of at least two", value=levels)
        fields["levels"] = tuple(levels)
        fields.setdefault("low", levels[0])
        fields.setdefault("high", levels[-1])
    missing = [name for name in ("low", "high") if name not in fields]
    if missing:
        raise DesignError(f"{what} lacks {' and '.join(missing)}", fix="Give both levels.")
    fields.setdefault("lever", letter)
    fields.setdefault("kind", _kind_of(fields["low"], fields["high"]))
    for name, allowed in (("kind", get_args(FactorKind)), ("scale", get_args(Scale))):
        if name in fields and fields[name] not in allowed:
            raise DesignError(f"{what}: unknown {name}", value=fields[name], fix=f"Use one of {', '.join(allowed)}.")
    try:
        return Factor(letter=letter, **fields)  # type: ignore[arg-type]  # checked by Factor itself
    except (TypeError, ValueError) as error:
        raise DesignError(f"{what}: {error}") from None


def _kind_of(low: object, high: object) -> str:
    numbers = [isinstance(level, int | float) and not isinstance(level, bool) for level in (low, high)]
    if not all(numbers):
        return "choice"
    return "int" if isinstance(low, int) and isinstance(high, int) else "float"


def _scalar(text: str) -> Scalar:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
