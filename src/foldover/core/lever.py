"""What may be varied: declaration, validation and encoding of levers.

A lever is a typed field of a frozen config dataclass, declared once:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Optimizer:
        matrix_lr: float = lever(0.04, "Learning rate of the matrices.", low=1e-5, high=1.0, scale="log")

`levers_of(Config)` yields the `LeverSet` from which validation, command line, docs, factor levels and
error texts are derived; `bind` turns flat values back into the typed tree.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_type_hints

from foldover.core.errors import RecipeError
from foldover.core.values import Scalar, Values

Kind = Literal["int", "float", "bool", "choice", "text"]
Scale = Literal["linear", "log", "pow2"]
Phase = Literal["train", "export", "evaluate"]

_METADATA_KEY = "foldover.lever"
_ConfigT = TypeVar("_ConfigT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """One thing that may be varied.

    A `text` lever takes its `choices` and, for each choice that ends with a colon, what begins with it:
    `path:` stands for `path:/some/where`. A choice without `choices` takes any text that matches `pattern`.
    `neutral` is the value at which the lever does nothing (None for dials such as depth or a learning
    rate); `fires` names the event that proves it acted ("" when it has none). `aliases` are other names that
    `LeverSet.find` accepts. `needs` names the lever without which this one does nothing: `a.b` for one that must
    be off its neutral value, `a.b=x|y` for one that must have one of these values ("" when it always acts).
    is_later: it came after recipes had been digested, and is neutral by default.
    """

    name: str
    kind: Kind
    default: Scalar
    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    neutral: Scalar = None
    unit: str = ""
    scale: Scale = "linear"
    multiple_of: int = 1
    phase: Phase = "train"
    source: str = ""
    fires: str = ""
    aliases: tuple[str, ...] = ()
    needs: str = ""
    pattern: str = ""
    is_later: bool = False

    def __post_init__(self) -> None:
        if self.is_later and self.default != self.neutral:
            raise ValueError(f"recipes did without `{self.name}`: its default must be its neutral value")

    @property
    def group(self) -> str:
        """The part of the config tree that holds the lever ("" at the root)."""
        return self.name.rpartition(".")[0]

    @property
    def short_name(self) -> str:
        """The last component of the path."""
        return self.name.rpartition(".")[2]

    @property
    def may_be_left_out(self) -> bool:
        """Whether sparse values do without it where nobody set it."""
        return self.is_later or self.phase != "train"

    def domain(self) -> str:
        """The allowed values, in words."""
        if self.kind == "bool":
            return "true or false"
        if self.pattern:
            return f"a text like {self.pattern}"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "text":
            return "one of " + ", ".join(form + "..." if form.endswith(":") else form for form in self.choices)
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        noun = "a whole number" if self.kind == "int" else "a number"
        text = f"{noun} from {low} to {high}"
        if self.multiple_of > 1:
            text += f", a multiple of {self.multiple_of}"
        if self.scale == "pow2":
            text += ", a power of two"
        return text + (f" ({self.unit})" if self.unit else "")

    def check(self, value: object) -> Scalar:
        """The value in the lever's own type. Raises RecipeError for a value outside its domain."""
        checked = self._convert(value)
        if checked is None or not self._is_inside(checked):
            raise RecipeError(f"`{self.name}` cannot be {value!r}", fix=f"Give {self.domain()}.")
        return checked

    def parse(self, text: str) -> Scalar:
        """The value written in `text`, as on a command line. Raises RecipeError."""
        text = text.strip()
        if self.kind == "bool":
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        if self.kind in ("choice", "text"):
            return self.check(text)
        try:
            number: float | int = int(text.replace("_", ""))
        except ValueError:
            try:
                number = float(text)
            except ValueError:
                return self.check(text)
        return self.check(number)

    def _convert(self, value: object) -> Scalar:
        if self.kind == "bool":
            return value if isinstance(value, bool) else None
        if self.kind in ("choice", "text"):
            return value if isinstance(value, str) and value.isprintable() else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            return None
        if self.kind == "float":
            return float(value)
        return int(value) if value == int(value) else None

    def _is_inside(self, value: Scalar) -> bool:
        if self.kind == "choice":
            text = cast(str, value)
            return re.fullmatch(self.pattern, text) is not None if self.pattern else text in self.choices
        if self.kind == "text":
            return any(_has_form(str(value), form) for form in self.choices)
        if self.kind == "bool":
            return True
        number = cast(float, value)
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            return False
        if self.kind == "int" and int(number) % self.multiple_of:
            return False
        return self.scale != "pow2" or (number > 0 and math.log2(number).is_integer())


class LeverSet(Mapping[str, Lever]):
    """The levers of one trainer, in order of declaration.

    is_sparse: whether complete values leave out levers that nobody set, of the phases after training and later ones:
    they are then at their defaults. A recipe so keeps its digest where such a lever is added.
    """

    def __init__(self, levers: tuple[Lever, ...], *, is_sparse: bool = False) -> None:
        self._levers = {lever.name: lever for lever in levers}
        self._is_sparse = is_sparse
        if len(self._levers) != len(levers):
            raise ValueError("two levers have one name")
        self._aliases = {alias: lever for lever in levers for alias in lever.aliases}
        if len(self._aliases) != sum(len(lever.aliases) for lever in levers) or self._aliases.keys() & self._levers:
            raise ValueError("an alias names two levers")

    def __getitem__(self, name: str) -> Lever:
        return self._levers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._levers)

    def __len__(self) -> int:
        return len(self._levers)

    def find(self, name: str) -> Lever:
        """The lever of that full name or alias, or of that last component where only one lever has it.

        Raises RecipeError that names the nearest lever.
        """
        if name in self._levers:
            return self._levers[name]
        if name in self._aliases:
            return self._aliases[name]
        same = [lever for lever in self._levers.values() if lever.short_name == name]
        if len(same) == 1:
            return same[0]
        if same:
            names = ", ".join(f"`{lever.name}`" for lever in same)
            raise RecipeError(f"`{name}` could be {names}", fix="Write the full name.")
        known = [*self._levers, *(lever.short_name for lever in self._levers.values()), *self._aliases]
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"Did you mean `{near[0]}`?" if near else "`foldover levers` lists them."
        raise RecipeError(f"`{name}` is not a lever", fix=fix)

    def acts(self, name: str, values: Mapping[str, Scalar]) -> bool:
        """Whether the levers that this one needs are on, so that its value can make a difference."""
        owner, _, wanted = self._levers[name].needs.partition("=")
        if not owner:
            return True
        value = self.value(owner, values)
        is_on = str(value) in wanted.split("|") if wanted else value != self._levers[owner].neutral
        return is_on and self.acts(owner, values)

    def without_effect(self, values: Mapping[str, Scalar]) -> tuple[str, ...]:
        """Levers that are not at their default though what they need is off, so that they do nothing."""
        return tuple(
            name
            for name, lever in self._levers.items()
            if self.value(name, values) != lever.default and not self.acts(name, values)
        )

    def check_effects(self, values: Mapping[str, Scalar]) -> None:
        """Raises RecipeError for a lever that was set and does nothing."""
        dead = self.without_effect(values)
        if dead:
            lever = self._levers[dead[0]]
            raise RecipeError(
                f"`{lever.name}` has no effect here: it needs `{lever.needs}`",
                value=values[lever.name],
                fix=f"Leave it at {lever.default!r}, or switch on what it needs.",
            )

    def value(self, name: str, values: Mapping[str, Scalar]) -> Scalar:
        """A lever's value among the values of a recipe, its default where these leave it out."""
        return values.get(name, self._levers[name].default)

    def training_part(self, values: Mapping[str, Scalar]) -> Values:
        """The values of the levers of the phase `train` alone."""
        return Values({name: value for name, value in values.items() if self._levers[name].phase == "train"})

    def at_rest_after_training(self, values: Mapping[str, Scalar]) -> Values:
        """The values, with each lever of a later phase at its neutral, or its default where it has none.

        Sparse levers are left out instead: what switches a later phase on is neutral by default.
        """
        if self._is_sparse:
            return self.training_part(values)
        rest = {
            lever.name: lever.default if lever.neutral is None else lever.neutral
            for lever in self._levers.values()
            if lever.phase != "train"
        }
        return Values({**values, **rest})

    def defaults(self) -> Values:
        """Every lever at its default, but for what sparse values leave out."""
        kept = (lever for lever in self._levers.values() if not (self._is_sparse and lever.may_be_left_out))
        return Values({lever.name: lever.default for lever in kept})

    def complete(self, values: Mapping[str, object], base: Values | None = None) -> Values:
        """Every lever has a value: the given ones checked, the rest from `base` or the defaults.

        Names may be short where that is unambiguous. Raises RecipeError.
        """
        complete: dict[str, Scalar] = dict(base if base is not None else self.defaults())
        for name, value in values.items():
            lever = self.find(name)
            complete[lever.name] = lever.check(value)
        return Values(complete)


def lever(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    neutral: Scalar = None,
    unit: str = "",
    scale: Scale = "linear",
    multiple_of: int = 1,
    phase: Phase = "train",
    source: str = "",
    fires: str = "",
    aliases: tuple[str, ...] = (),
    needs: str = "",
    pattern: str = "",
    is_later: bool = False,
) -> Any:
    """Declare a lever: a dataclass field whose metadata holds everything but its name and type."""
    metadata = {
        "default": default,
        "doc": doc,
        "low": low,
        "high": high,
        "choices": choices,
        "neutral": neutral,
        "unit": unit,
        "scale": scale,
        "multiple_of": multiple_of,
        "phase": phase,
        "source": source,
        "fires": fires,
        "aliases": aliases,
        "needs": needs,
        "pattern": pattern,
        "is_later": is_later,
    }
    return field(default=default, metadata={_METADATA_KEY: metadata})


def levers_of(config: type, *, is_sparse: bool = False) -> LeverSet:
    """The levers of a config dataclass and of the dataclasses nested in it, named by path; `is_sparse` as there."""
    return LeverSet(tuple(_walk(config, prefix="")), is_sparse=is_sparse)


def bind(config: type[_ConfigT], values: Mapping[str, Scalar]) -> _ConfigT:
    """The typed config tree that holds these values.

    A recipe written before a lever existed did without it: the lever is neutral. Raises RecipeError for one that has
    neither value nor neutral setting.
    """
    return cast(_ConfigT, _bind(config, values, prefix=""))


def _walk(config: type, *, prefix: str) -> Iterator[Lever]:
    hints = _hints(config)
    for item in dataclasses.fields(config):
        name, hint = prefix + item.name, hints[item.name]
        if dataclasses.is_dataclass(hint):
            yield from _walk(cast(type, hint), prefix=name + ".")
        else:
            metadata = item.metadata[_METADATA_KEY]
            is_open = any(choice.endswith(":") for choice in metadata["choices"])
            declared = Lever(name=name, kind="text" if is_open else _kind_of(hint), **metadata)
            declared.check(declared.default)
            yield declared


def _bind(config: type, values: Mapping[str, Scalar], *, prefix: str) -> object:
    hints = _hints(config)
    arguments: dict[str, object] = {}
    for item in dataclasses.fields(config):
        name, hint = prefix + item.name, hints[item.name]
        if dataclasses.is_dataclass(hint):
            arguments[item.name] = _bind(cast(type, hint), values, prefix=name + ".")
        elif name in values:
            arguments[item.name] = values[name]
        elif item.metadata[_METADATA_KEY]["phase"] == "train":
            arguments[item.name] = _without(name, item.metadata[_METADATA_KEY]["neutral"])
    return config(**arguments)


def _without(name: str, neutral: Scalar | None) -> Scalar:
    if neutral is None:
        raise RecipeError(f"a recipe has no value for lever `{name}`", fix="It may be of another version of foldover.")
    return neutral


def _has_form(text: str, form: str) -> bool:
    return text == form if not form.endswith(":") else text.startswith(form) and len(text) > len(form)


@cache
def _hints(config: type) -> dict[str, Any]:
    # Evaluating annotations costs 0.4 ms a class, and planning binds thousands of recipes.
    return get_type_hints(config)


def _kind_of(hint: object) -> Kind:
    kinds: dict[object, Kind] = {int: "int", float: "float", bool: "bool", str: "choice"}
    return kinds[hint]
