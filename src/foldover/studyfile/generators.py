"""What a screen asks for: a number of runs and generators, checked against the factors.

Words are products of letters; equal letters cancel. A generator `E=ABCD` makes the word `ABCDE` equal to the
identity, and so is every product of such words: the defining relation. The length of its shortest word is the
resolution (Box and Hunter 1961, Technometrics 3).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from foldover.core import DesignRequest
from foldover.studyfile.table import Table, is_whole

_GENERATOR = re.compile(r"\s*([A-Z])\s*=\s*([+-]?)\s*([A-Z]+)\s*")
_FRACTION = re.compile(r"\s*2\s*\^\s*(?:\(\s*([0-9]+)\s*-\s*([0-9]+)\s*\)|([0-9]+))\s*")
ONE_AT_A_TIME, FACED = "one_at_a_time", "faced"
Word = frozenset[str]


def read_request(table: Table, letters: Sequence[str]) -> DesignRequest | None:
    """`runs` or `design`, and `generators`; None if any of it is wrong.

    Without generators a fraction's are left to the catalogue of minimum-aberration designs.
    """
    if table.content.get("design") == ONE_AT_A_TIME:
        for key in ("runs", "generators"):
            if key in table:
                table.problem(key, f"`{key}` follows from the design {ONE_AT_A_TIME}. Leave it out.")
                return None
        return DesignRequest(runs=len(letters) + 1, kind="one_at_a_time")
    runs = _runs(table, len(letters))
    if runs is None:
        return None
    num_generated = len(letters) - int(math.log2(runs))
    items = table.array("generators") if "generators" in table else []
    if items is None:
        return None
    parsed = [_generator(table, index, item, letters) for index, item in enumerate(items)]
    generators = [generator for generator in parsed if generator is not None]
    if len(generators) != len(parsed) or not _fit_together(table, generators):
        return None
    if "generators" in table and len(generators) != num_generated:
        table.problem("generators", _wrong_count(len(letters), runs, num_generated, len(generators)))
        return None
    return DesignRequest(runs=runs, generators=tuple(generators))


def faced_request(num_factors: int) -> DesignRequest:
    """Corners, faces and centre of a region."""
    return DesignRequest(runs=2**num_factors + 2 * num_factors + 1, kind="faced")


def faced_labels(request: DesignRequest) -> tuple[str, ...]:
    """How its rows are called: corners, faces, centre."""
    num_factors = next(k for k in itertools.count(2) if faced_request(k).runs >= request.runs)
    corners = [f"c{i:02d}" for i in range(1, 2**num_factors + 1)]
    return (*corners, *(f"a{i:02d}" for i in range(1, 2 * num_factors + 1)), "z01")


def corner_levels(request: DesignRequest, letters: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The coded rows of a checked request, a level (-1, +1 or the centre) a letter; nothing if generators are open."""
    if request.kind == FACED:
        faces = [tuple(s if j == i else 0 for j in range(len(letters))) for i in range(len(letters)) for s in (-1, 1)]
        yield from [*itertools.product((-1, 1), repeat=len(letters)), *faces, (0,) * len(letters)]
        return
    if request.kind == ONE_AT_A_TIME:
        for i in range(-1, len(letters)):
            yield tuple(1 if j == i else -1 for j in range(len(letters)))
        return
    parts = [_parts(generator) for generator in request.generators]
    base = [letter for letter in letters if letter not in {part[0] for part in parts}]
    if 2 ** len(base) != request.runs:
        return
    for levels in itertools.product((-1, 1), repeat=len(base)):
        row = dict(zip(base, levels, strict=True))
        for letter, sign, word in parts:
            row[letter] = sign * math.prod(row[factor] for factor in word)
        yield tuple(row[letter] for letter in letters)


def has_aliased_pairs(request: DesignRequest, num_factors: int) -> bool:
    """Whether a checked request confounds main effects with two-factor interactions (resolution III).

    Without generators the catalogue has the highest resolution that there is: IV or more up to half as many factors as
    runs.
    """
    if request.kind != "regular" or request.runs == 2**num_factors:
        return False
    words = [Word((left, *right)) for left, _, right in map(_parts, request.generators)]
    if words:
        return min(map(len, _defining_words(words))) == 3
    return num_factors > request.runs // 2


def _runs(table: Table, k: int) -> int | None:
    if "design" not in table and "runs" not in table:
        table.problem(None, '`runs` is missing. Give e.g. `runs = 16` or `design = "2^(5-1)"`.')
        return None
    runs = table.content.get("runs")
    if runs is not None and (not is_whole(runs) or not _is_power_of_two(int(str(runs)))):
        table.problem("runs", f"`runs` must be a power of two (got {runs!r}).")
        return None
    asked = None if runs is None else int(str(runs))
    if "design" in table:
        named = _runs_of_fraction(table, k)
        if named is None:
            return None
        if asked not in (None, named):
            table.problem("runs", f"`runs` is {asked}, but `design` has {named}. Give one of the two.")
            return None
        asked = named
    if asked is not None and not k < asked <= 2**k:
        table.problem(
            "runs" if "runs" in table else "design",
            f"{k} factors need a power of two from {2 ** k.bit_length()} to {2**k} runs (got {asked}).",
        )
        return None
    return asked


def _runs_of_fraction(table: Table, k: int) -> int | None:
    text = table.text("design")
    if text is None:
        return None
    match = _FRACTION.fullmatch(text)
    if match is None:
        table.problem(
            "design", f'`design` is not readable (got {text!r}). Write e.g. "2^(5-1)", "2^5" or "{ONE_AT_A_TIME}".'
        )
        return None
    named = int(match.group(1) or match.group(3))
    removed = int(match.group(2) or 0)
    if named != k:
        table.problem("design", f"`design` is for {named} factors, but the study has {k} (got {text!r}).")
        return None
    return int(2 ** max(named - removed, 0))


def _generator(table: Table, index: int, item: object, letters: Sequence[str]) -> str | None:
    match = _GENERATOR.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        table.problem_in("generators", index, f'a generator is a text such as "E=ABCD" (got {item!r}).')
        return None
    left, sign, right = match.groups()
    for letter in (left, *right):
        if letter not in letters:
            known = ", ".join(letters)
            table.problem_in("generators", index, f"generator {item}: there is no factor {letter}. There are {known}.")
            return None
    if len(set(right)) != len(right) or left in right or len(right) < 2:
        problem = f"generator {item}: the right side needs two or more different letters, none of them {left}."
        table.problem_in("generators", index, problem)
        return None
    return f"{left}={'-' if sign == '-' else ''}{''.join(sorted(right))}"


def _fit_together(table: Table, generators: Sequence[str]) -> bool:
    parts = [_parts(generator) for generator in generators]
    generated = [left for left, _, _ in parts]
    for index, (left, _, right) in enumerate(parts):
        if left in generated[:index]:
            table.problem_in("generators", index, f"factor {left} is generated twice.")
            return False
        for letter in right:
            if letter in generated:
                text = f"generator {generators[index]}: {letter} is generated itself. Use base factors only."
                table.problem_in("generators", index, text)
                return False
    shortest = min(_defining_words([Word((left, *right)) for left, _, right in parts]), key=len, default=None)
    if shortest is not None and len(shortest) < 3:
        one, other = sorted(shortest)
        text = f"generators {', '.join(generators)} alias {one} with {other} (resolution II). Change one of them."
        table.problem("generators", text)
        return False
    return True


def _defining_words(words: Sequence[Word]) -> Iterator[Word]:
    """Every product of one or more generating words."""
    products: list[Word] = []
    for word in words:
        new = [word, *(word ^ earlier for earlier in products)]
        products += new
        yield from new


def _parts(generator: str) -> tuple[str, int, str]:
    left, _, right = generator.partition("=")
    return left, -1 if right.startswith("-") else 1, right.lstrip("-")


def _is_power_of_two(number: int) -> bool:
    return number > 1 and number & (number - 1) == 0


def _wrong_count(k: int, runs: int, needed: int, given: int) -> str:
    noun = "generator" if needed == 1 else "generators"
    text = f"{k} factors in {runs} runs need {needed} {noun} (got {given})."
    return text if needed else f"{text} Remove `generators`, or ask for fewer runs."
