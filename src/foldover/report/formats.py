"""The report as files for other documents: tables in Markdown, CSV and LaTeX, pictures in SVG or PNG.

Each is made from the document's sections alone. LaTeX tables want the package booktabs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from foldover.core import to_plain
from foldover.report import numbers
from foldover.report.chart_intervals import intervals_file
from foldover.report.raster import png_of
from foldover.report.reading import DECISION_WORDS
from foldover.report.section import SectionTable, columns

Format = Literal["html", "md", "csv", "latex", "png"]
FORMATS: tuple[str, ...] = get_args(Format)

_OF_RECOMMENDATION = (
    ("Compared with the others", "comparisons"),
    ("What the evidence supports", "supports"),
    ("What would change it", "would_change"),
    ("What it does not support", "does_not_support"),
)
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    numbers.MINUS: "$-$",
    numbers.NOTHING: "--",
    "\u00d7": r"$\times$",
    "\u03b7": r"$\eta$",
    "\u00b2": r"$^2$",
}
_POWER = re.compile("\u00d710([\u207b\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+)")
_DIGITS = str.maketrans("\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789")


def files_of(document: Mapping[str, Any], kind: str) -> Mapping[str, str | bytes]:
    """File name to content, of one format: `md` two pages, `csv` and `latex` a file a table, each with pictures in SVG.

    `png` are the pictures alone. Raises UserError as `raster.png_of`.
    """
    pictures = pictures_of(document)
    if kind == "png":
        return {f"{name.removesuffix('.svg')}.png": png_of(picture) for name, picture in pictures.items()}
    writers: Mapping[str, Callable[[Mapping[str, Any]], dict[str, str]]] = {
        "md": lambda doc: {"report.md": markdown(doc), "summary.md": summary(doc)},
        "csv": lambda doc: {f"{table['name']}.csv": csv_of(table) for table in _tables(doc)},
        "latex": _latex_files,
    }
    return {**writers[kind](document), **pictures}


def pictures_of(document: Mapping[str, Any]) -> dict[str, str]:
    """File name to SVG text of every picture."""
    return {
        f"{picture['name']}.svg": intervals_file(picture)
        for section in document["sections"]
        for picture in section["pictures"]
        if picture["marks"]
    }


def cell(value: object, column: Mapping[str, Any], decimals: int) -> str:
    """A value as readers see it."""
    if value is None or value == "":
        return numbers.NOTHING if value is None else ""
    kind = column["kind"]
    if kind in ("number", "signed", "probability", "share") and isinstance(value, int | float):
        writers: Mapping[str, Callable[[float], str]] = {
            "number": lambda x: numbers.plain(x, decimals),
            "signed": lambda x: numbers.signed(x, decimals),
            "probability": numbers.probability,
            "share": lambda x: f"{100 * x:.1f}%".replace("-", numbers.MINUS),
        }
        return writers[kind](float(value))
    return numbers.setting(value) if isinstance(value, bool | int | float) else str(value)


def summary(document: Mapping[str, Any]) -> str:
    """What the study found, on one page: each sentence says its package, host and seeds, and what only describes."""
    lines = _front(document)
    for section in document["sections"]:
        if section["claims"]:
            lines += ["", f"**{section['title']}**", "", *(f"- {claim}" for claim in section["claims"])]
    return "\n".join(lines).rstrip() + "\n"


def markdown(document: Mapping[str, Any]) -> str:
    """The whole report as one Markdown page."""
    lines = _front(document)
    for section in document["sections"]:
        lines += ["", f"## {section['title']}", ""]
        lines += [f"- {claim}" for claim in section["claims"]]
        for note in section["notes"]:
            lines += ["", note]
        for picture in section["pictures"]:
            if picture["marks"]:
                lines += ["", f"![{picture['title']}]({picture['name']}.svg)"]
        for table in section["tables"]:
            lines += ["", f"**{_bars(table['title'])}**", "", *_markdown_table(table)]
            lines += ["", table["note"]] if table["note"] else []
    for table in _of_gates(document):
        lines += ["", f"## {table['title']}", "", *_markdown_table(table)]
    return "\n".join(lines).rstrip() + "\n"


def csv_of(table: Mapping[str, Any]) -> str:
    """One table in full precision: a row of names, then values; nothing where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column["name"] for column in table["columns"]])
    for row in table["rows"]:
        writer.writerow(["" if value is None else value for value in row])
    return out.getvalue()


def latex_of(table: Mapping[str, Any]) -> str:
    """One table as a floating environment with rules by booktabs, every cell escaped."""
    heads = table["columns"]
    letters = "".join("l" if column["kind"] == "text" else "r" for column in heads)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table['title'])}}}",
        rf"\label{{tab:{table['name']}}}",
        rf"\begin{{tabular}}{{{letters}}}",
        r"\toprule",
        " & ".join(escaped(column["title"]) for column in heads) + r" \\",
        r"\midrule",
    ]
    for row in table["rows"]:
        cells = [cell(value, column, table["decimals"]) for value, column in zip(row, heads, strict=True)]
        lines.append(" & ".join(escaped(each) for each in cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {escaped(table['note'])}"] if table["note"] else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def escaped(text: str) -> str:
    """A text for LaTeX: every character that it would read as a command is written out."""
    powers = [match.group(1).translate(_DIGITS) for match in _POWER.finditer(text)]
    parts = ["".join(_LATEX.get(c, c) for c in part) for part in _POWER.split(text)[::2]]
    return "".join(part + (rf"$\times10^{{{powers[i]}}}$" if i < len(powers) else "") for i, part in enumerate(parts))


def _latex_files(document: Mapping[str, Any]) -> dict[str, str]:
    files = {f"{table['name']}.tex": latex_of(table) for table in _tables(document)}
    inputs = "".join(rf"\input{{{name.removesuffix('.tex')}}}" + "\n" for name in files)
    return {**files, "tables.tex": "% needs \\usepackage{booktabs}\n" + inputs}


def _markdown_table(table: Mapping[str, Any]) -> list[str]:
    heads = table["columns"]
    rule = ["---" if column["kind"] == "text" else "---:" for column in heads]
    rows = [
        [_bars(cell(value, column, table["decimals"])) for value, column in zip(row, heads, strict=True)]
        for row in table["rows"]
    ]
    all_rows: Sequence[Sequence[str]] = [[_bars(column["title"]) for column in heads], rule, *rows]
    return ["| " + " | ".join(row) + " |" for row in all_rows]


def _bars(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _front(document: Mapping[str, Any]) -> list[str]:
    """The answer, what the evidence carries, what it does not, and what would change the answer."""
    answer, found = document["answer"], document["recommendation"]
    lines = [f"# {document['study']['question']}", "", answer["headline"], ""]
    lines += [f"- {point}" for point in answer["points"]]
    for title, name in _OF_RECOMMENDATION if found is not None else ():
        lines += ["", f"**{title}**", "", *(f"- {line}" for line in found[name])] if found[name] else []
    return lines


def _tables(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(table for section in document["sections"] for table in section["tables"]), *_of_gates(document)]


def _of_gates(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The decision of every stage and the recipe that is recommended, as tables; without what there is not yet."""
    verdicts, found = document["verdicts"], document["recommendation"]
    rows = [(v["stage"], v["subject"], DECISION_WORDS[v["decision"]], v["because"]) for v in verdicts]
    tables = [_table("decisions", "Decisions, stage by stage", ("stage", "subject", "decision", "because"), rows)]
    if found is not None:
        values = [
            (c["lever"], numbers.setting(c["baseline"]), numbers.setting(c["recommended"])) for c in found["changes"]
        ]
        title = f"What {found['condition']} sets differently from the baseline"
        tables.append(_table("recommendation", title, ("lever", "baseline", "recommended"), values))
    return [table for table in tables if table["rows"]]


def _table(name: str, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Mapping[str, Any]:
    table = SectionTable(name=name, title=title, columns=columns(*heads), rows=tuple(map(tuple, rows)))
    return dict(to_plain(table))
