"""Canonical JSON and digests of core records, both directions.

A record is written as an object of its fields; `Values` as an object of its values; tuples as arrays.
Numbers must be finite. Reading checks types and refuses unknown and missing fields. A field that came after records had
been digested is `LATER`: it is written only where it differs from its default, so that digests stay.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from foldover.core.errors import LedgerError, UserError
from foldover.core.values import Values

WIRE_VERSION = 1
LATER: Mapping[str, bool] = {"later": True}  # metadata of a field with a default

_T = TypeVar("_T")
_PLAIN = frozenset([str, int, float, bool, type(None)])


def to_plain(value: object) -> Any:
    """The value as dicts, lists and scalars that `json` can write."""
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {name: to_plain(getattr(value, name)) for name in _fields_of(type(value))}
        for name, default in _later_of(type(value)):
            if getattr(value, name) == default:
                del plain[name]
        return plain
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Canonical JSON: sorted keys, shortest numbers, no NaN or infinity (ValueError)."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        to_plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
    )


def from_json(kind: type[_T], text: str) -> _T:
    """The record of type `kind` written in `text`. Raises LedgerError if it is not one."""
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise LedgerError(f"not JSON: {error}", fix="The file is damaged; restore it or collect again.") from None
    return from_plain(kind, plain)


def from_plain(kind: type[_T], plain: object) -> _T:
    """The record of type `kind` that `to_plain` made `plain` of. Raises LedgerError."""
    return cast(_T, _read(kind, plain, kind.__name__))


def digest(value: object) -> str:
    """sha256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


@functools.cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    """What a record is made of; what it works out of that and keeps is no part of it."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


@functools.cache
def _later_of(kind: Any) -> tuple[tuple[str, object], ...]:
    """The later fields of a record, with their defaults."""
    return tuple((field.name, field.default) for field in dataclasses.fields(kind) if field.metadata.get("later"))


@functools.cache
def _required_of(kind: Any) -> tuple[str, ...]:
    missing = dataclasses.MISSING
    fields = [field for field in dataclasses.fields(kind) if field.init]
    return tuple(f.name for f in fields if f.default is missing and f.default_factory is missing)


@functools.cache
def _hints_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(hint: Any, plain: object, where: str) -> object:
    if isinstance(plain, float) and not math.isfinite(plain):
        raise _mismatch(where, plain)  # `json` reads NaN and Infinity, which foldover never writes
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(hint), plain, where)
    if origin is Literal:
        if plain in get_args(hint):
            return plain
        raise _mismatch(where, plain)
    if origin is tuple:
        return _read_tuple(get_args(hint), plain, where)
    if hint is Values:
        return _read_values(plain, where)
    if dataclasses.is_dataclass(hint):
        return _read_record(cast(type, hint), plain, where)
    return _read_scalar(hint, plain, where)


def _read_values(plain: object, where: str) -> Values:
    if not isinstance(plain, dict):
        raise _mismatch(where, plain)
    for name, value in plain.items():
        if not (value is None or isinstance(value, bool | int | float | str)):
            raise _mismatch(f"{where}.{name}", value)
    try:
        return Values(plain)
    except ValueError as error:
        raise LedgerError(f"{where}: {error}") from None


def _read_scalar(hint: Any, plain: object, where: str) -> object:
    if hint is type(None) and plain is None:
        return None
    if hint is float and isinstance(plain, int | float) and not isinstance(plain, bool):
        try:
            return float(plain)
        except OverflowError:  # JSON's whole numbers have no end
            raise _mismatch(where, plain) from None
    if isinstance(hint, type) and type(plain) is hint:
        return plain
    raise _mismatch(where, plain)


def _read_union(hints: tuple[Any, ...], plain: object, where: str) -> object:
    # Exact types first, so that 3 stays an int where int | float is allowed.
    for hint in hints:
        if isinstance(hint, type) and type(plain) is hint:
            return plain
    for hint in hints:
        try:
            return _read(hint, plain, where)
        except LedgerError:
            continue
    raise _mismatch(where, plain)


def _read_tuple(hints: tuple[Any, ...], plain: object, where: str) -> tuple[object, ...]:
    if not isinstance(plain, list):
        raise _mismatch(where, plain)
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_read(hints[0], item, f"{where}[{i}]") for i, item in enumerate(plain))
    if len(plain) != len(hints):
        raise _mismatch(where, plain)
    return tuple(_read(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, plain, strict=True)))


def _read_record(kind: type, plain: object, where: str) -> object:
    if not isinstance(plain, dict):
        raise _mismatch(where, plain)
    hints = _hints_of(kind)
    unknown = sorted(plain.keys() - set(_fields_of(kind)))
    if unknown:
        raise LedgerError(f"{where} has unknown fields {unknown}", fix="Was it written by a newer foldover?")
    missing = [name for name in _required_of(kind) if name not in plain]
    if missing:
        raise LedgerError(f"{where} lacks the fields {missing}", fix="The file is damaged or too old.")
    values = {name: _read(hints[name], item, f"{where}.{name}") for name, item in plain.items()}
    try:
        return kind(**values)
    except UserError as error:
        # The user did not write this: what was written by foldover has become something impossible.
        raise LedgerError(f"{where} cannot be: {error}", fix="The file is damaged.") from error


def _mismatch(where: str, plain: object) -> LedgerError:
    return LedgerError(f"{where} has a value of the wrong kind", value=plain)
