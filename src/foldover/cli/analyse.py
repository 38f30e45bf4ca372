"""`foldover analyse`: a study's ledger, or any CSV file with a header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foldover.cli.options import json_option, print_json, text_width
from foldover.core import AnalysisError, FoldoverError, UserError

if TYPE_CHECKING:
    from foldover.lab import AnalysisRequest

METHODS = ("auto", "paper", "ols+2fi", "hc3", "hc3+2fi", "per_seed", "satterthwaite", "mixed", "lenth")
CORRECTIONS = ("bh", "by", "holm", "bonferroni", "hochberg")
# The statistics name arguments of functions; here they are options.
_OPTIONS = (
    ("table.where(package=...)", "--where package=NAME"),
    ("table.where(budget=...)", "--where budget=VALUE"),
    ("table.where(host=...)", "--where host=NAME"),
    ("to adjust_for", "by --adjust-for"),
    ("block=None", "--block none"),
    ("adjust_for", "--adjust-for"),
)


def _names(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """`A,B,C` as names; spaces around them are not part of them."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _pairs(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = tuple(tuple(part.strip() for part in text.split("=", 1)) for text in texts)
    for pair, text in zip(pairs, texts, strict=True):
        if len(pair) != 2:
            raise click.BadParameter(f"write COLUMN=VALUE, not {text!r}")
    return pairs  # type: ignore[return-value]  # two parts each, as checked


@click.command()
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--response", default=None, help="Column of the response. Needed for a file.")
@click.option("--factors", callback=_names, help="Columns that were varied: A,B,C. Needed for a file.")
@click.option(
    "--block", default="auto", show_default=True, help="Column whose values pair runs; auto: `seed` if there; none: no."
)
@click.option("--budget", default="auto", show_default=True, help="Column of budgets; auto: `budget`; none: no.")
@click.option(
    "--model",
    default="auto",
    show_default=True,
    help="main, main+2fi, paper, second-order, or terms: A,B,A:B; auto: interactions where the runs carry them.",
)
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="How errors are found.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--q", type=float, default=0.05, show_default=True, help="Error rate of the family.")
@click.option(
    "--correction", type=click.Choice(CORRECTIONS), default="bh", show_default=True, help="Over the family's p-values."
)
@click.option("--family", default=None, help="Terms that share one error rate, or all [default: main effects].")
@click.option("--maximize", is_flag=True, help="Higher responses are better.")
@click.option(
    "--design",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The design of the runs, as `foldover design` wrote it: its aliases and levels are used.",
)
@click.option("--adjust-for", callback=_names, help="Columns that get a fixed term each: host,day.")
@click.option("--where", callback=_pairs, multiple=True, metavar="COLUMN=VALUE", help="Only rows with it; repeatable.")
@click.option("--log", callback=_names, help="Factors coded on a logarithmic scale: lr,batch.")
@click.option("--leave-out-missing", is_flag=True, help="Leave rows without a response out by name, do not refuse.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for analysis.json, analysis.txt and the pictures (SVG).",
)
@json_option
def analyse(path: Path, as_json: bool, **given: Any) -> None:
    """Effects with intervals of a study's folder, or of any CSV file with a header.

    PATH is the folder of a study, of which everything in the ledger is analysed, or a file: then --response and
    --factors name its columns. Levels may be coded (-1 and +1), words (low, high) or natural; letters are given to
    the factors and shown. Writes nothing but --out.
    """
    if path.is_dir():
        _refuse_options_of_files(given)
        _analyse_study(path, as_json)
        return
    _analyse_file(path, as_json, given)


def _analyse_study(folder: Path, as_json: bool) -> None:
    from foldover.lab import open_session, report_document
    from foldover.report import render_text

    document = report_document(open_session(folder))
    if as_json:
        print_json({key: document[key] for key in ("effects", "conditions")})
    else:
        click.echo(render_text(document, width=text_width()))


def _analyse_file(path: Path, as_json: bool, given: dict[str, Any]) -> None:
    from foldover.lab import analyse_table, read_table, write_findings
    from foldover.report import render_effects_text

    out: Path | None = given.pop("out")
    table = read_table(path)
    request = _request(table.columns, given)
    try:
        findings = analyse_table(table, request)
    except AnalysisError as error:
        raise _in_options(error) from None
    if as_json:
        print_json(findings)
    else:
        click.echo(render_effects_text(findings, width=text_width()), nl=False)
    if out is not None:
        written = write_findings(findings, out)
        if not as_json:
            click.echo(f"\nwritten to {out}: {', '.join(written)}")


def _request(columns: Any, given: dict[str, Any]) -> AnalysisRequest:
    from foldover.lab import AnalysisRequest, read_design

    needed = [f"--{name}" for name in ("response", "factors") if not given[name]]
    if needed:
        known = ", ".join(list(columns)[:16]) + (", ..." if len(columns) > 16 else "")
        raise UserError(f"a file needs {' and '.join(needed)}", fix=f"Its columns are {known}.")
    design = given["design"]
    family = given["family"]
    return AnalysisRequest(
        response=given["response"],
        factors=given["factors"],
        block=None if given["block"] == "none" else given["block"],
        budget=None if given["budget"] == "none" else given["budget"],
        model=given["model"],
        method=given["method"],
        level=given["level"],
        q=given["q"],
        correction=given["correction"],
        family=None if family is None else tuple(family.split(",")),
        direction="maximize" if given["maximize"] else "minimize",
        design=None if design is None else read_design(design),
        adjust_for=given["adjust_for"],
        where=given["where"],
        log=given["log"],
        leave_out_missing=given["leave_out_missing"],
    )


def _refuse_options_of_files(given: dict[str, Any]) -> None:
    context = click.get_current_context()
    source = click.core.ParameterSource.DEFAULT
    used = sorted(f"--{name.replace('_', '-')}" for name in given if context.get_parameter_source(name) != source)
    if used:
        raise UserError(
            f"{', '.join(used)} cannot be used with a study's folder",
            fix="The study file says what is analysed; export its rows to CSV for another analysis.",
        )


def _in_options(error: FoldoverError) -> AnalysisError:
    """The same error with options instead of arguments."""
    what, fix = error.what, error.fix
    for argument, option in _OPTIONS:
        what, fix = what.replace(argument, option), fix.replace(argument, option)
    return AnalysisError(what, value=error.value, fix=fix)
