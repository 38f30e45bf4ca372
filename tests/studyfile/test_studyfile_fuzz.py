"""Whatever stands in a file, the answer is a study or a list of problems."""

from __future__ import annotations

import copy
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import Problem, StudyError
from foldover.studyfile.lines import index_lines

GOOD: list = []


@pytest.fixture(autouse=True)
def _good(text, study_of):
    # hypothesis does not mix with fixtures that are made anew for each test.
    GOOD[:] = [text, study_of]


def toml_of(value):
    """An inline TOML value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_of(str(key))} = {toml_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml_of(item) for item in value) + "]"
    if isinstance(value, str):
        return (
            '"' + "".join(f"\\U{ord(c):08X}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in value) + '"'
        )
    return repr(value)


def paths_of(content, path=()):
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


def problems_of(study_of, text):
    """None for a study; anything raised but StudyError fails the test, and so does one without problems."""
    try:
        study_of(text)
    except StudyError as error:
        return error.problems or [Problem(line=0, message="an error without problems!")]
    return ()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.sampled_from(["", "A", "E=ABCD", "2s", "screen", "refine", "depth", "norm", "2^(5-1)", "A=BC", "é\x00\n"]),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from([1, "A", "2s", [], {}, 1.5, True]), max_size=3),
    st.dictionaries(st.sampled_from(["limit", "lever", "name", "set", ""]), st.integers(0, 3), max_size=2),
)


@given(data=st.data())
@settings(max_examples=300)
def test_a_spoiled_file_is_a_study_or_a_study_error(data):
    text, study_of = GOOD
    content = copy.deepcopy(tomllib.loads(text))
    for _ in range(data.draw(st.integers(1, 3))):
        paths = list(paths_of(content))
        path = data.draw(st.sampled_from(paths))
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        odd = data.draw(ODD)
        if odd is None:
            del holder[path[-1]]
        else:
            holder[path[-1]] = odd
        if not content:
            break
    spoiled = "\n".join(f"{toml_of(key)} = {toml_of(value)}" for key, value in content.items())
    tomllib.loads(spoiled)
    index_lines(spoiled)
    for problem in problems_of(study_of, spoiled):
        assert problem.message.endswith((".", ")", "?"))


@given(cut=st.integers(0, 1200), junk=st.text(max_size=3))
def test_a_file_cut_anywhere_is_a_study_or_a_study_error(cut, junk):
    text, study_of = GOOD
    problems_of(study_of, text[:cut] + junk + text[cut + len(junk) :])
