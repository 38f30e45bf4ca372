"""The line of every key, for any valid TOML."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.studyfile.lines import index_lines, line_of


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2", ("b",), 2),
        ("# c\n\n  a = 1", ("a",), 3),
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ("a.b.c = 1\na.b.d = 2", ("a", "b"), 1),
        ("[t]\na = 1", ("t",), 1),
        ("[t]\na = 1", ("t", "a"), 2),
        ("[t.u]\n[t]\na = 1", ("t",), 2),
        ("[[s]]\na = 1\n[[s]]\na = 2", ("s", 1), 3),
        ("[[s]]\na = 1\n[[s]]\na = 2", ("s", 1, "a"), 4),
        ("[[s]]\na = 1\n[[s]]\na = 2", ("s",), 1),
        ("[[s]]\n[s.t]\na = 1\n[[s]]\n[s.t]\na = 2", ("s", 1, "t", "a"), 6),
        ("[[s]]\n[[s.u]]\n[[s.u]]\na = 1", ("s", 0, "u", 1, "a"), 4),
        ("x = [\n 1,\n # c\n 2,\n]", ("x", 1), 4),
        ("x = [[1,\n2], [\n3]]", ("x", 1, 0), 3),
        ("x = { a = 1, b = { c = 2 } }\ny = 1", ("x", "b", "c"), 1),
        ("x = [ { a = 1 },\n { a = 2 } ]", ("x", 1, "a"), 2),
        ('x = """one\ntwo = 2\n[three]\n"""\ny = 1', ("y",), 5),
        ("x = '''one\n\"\"\"\n'''\ny = 1", ("y",), 4),
        ('x = """ends with quotes"""""\ny = 1', ("y",), 2),
        ('x = """an escaped \\""" stays\n"""\ny = 1', ("y",), 3),
        ('x = "a \\" b # c"\ny = 1', ("y",), 2),
        ("\"quoted . key\".b = 1\n'literal' = 2", ("quoted . key", "b"), 1),
        ('"a\\u0062c" = 1', ("abc",), 1),
        ("x = 1979-05-27 07:32:00\ny = 1e-3 # c", ("y",), 2),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
        ("[ spaced . 'out' ]\na = 1", ("spaced", "out", "a"), 2),
        ("x = []\ny = {}\nz = 1", ("z",), 3),
    ],
)
def test_a_key_stands_on_its_line(text, path, line):
    tomllib.loads(text)
    assert index_lines(text)[path] == line


def test_what_is_missing_has_the_line_of_what_is_around_it():
    lines = index_lines("a = 1\n[t]\nb = 2")
    assert line_of(lines, ("t", "missing", 3)) == 2
    assert line_of(lines, ("missing",)) == 0


def paths_of(content, path=()):
    if isinstance(content, dict):
        for key, value in content.items():
            yield (*path, key)
            yield from paths_of(value, (*path, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield (*path, index)
            yield from paths_of(value, (*path, index))


def written(value):
    """A TOML value, arrays over several lines with comments."""
    if isinstance(value, list):
        return "[ # [\n" + "".join(f"  {written(item)}, # ]\n" for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + " }"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text):
    escaped = "".join(c if c.isalnum() or c in " #=[]{}',." else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
CONTENT = st.dictionaries(
    TEXTS,
    st.recursive(
        st.integers(-5, 5) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(CONTENT)
def test_every_path_that_tomllib_reads_has_a_line(content):
    text = "".join(f"{quoted(key)} = {written(value)}\n" for key, value in content.items())
    assert set(index_lines(text)) == set(paths_of(tomllib.loads(text)))
