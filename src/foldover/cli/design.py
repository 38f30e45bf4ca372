"""`foldover design`: a design with its aliases and its power, before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from foldover.cli.options import json_option, print_json, text_width
from foldover.core import Design, DesignError, Factor, UserError, to_plain

KINDS = ("auto", "fraction", "full", "pb", "ccd", "bbd", "dsd", "doptimal", "ioptimal")


def _listed(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(f"write numbers such as 0.004 or 1,2, not {text!r}") from None


def _whole(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...]:
    numbers = _numbers(context, parameter, text)
    if any(number != int(number) or number < 1 for number in numbers):
        raise click.BadParameter(f"write whole numbers such as 3,5, not {text!r}")
    return tuple(int(number) for number in numbers)


@click.command()
@click.argument("request", metavar="[REQUEST]", default="")
@click.option("--factors", default=None, metavar="NUMBER|FILE", help="How many, or a TOML, JSON or CSV file of them.")
@click.option("--runs", type=click.IntRange(min=2), default=None, help="Number of runs.")
@click.option("--generators", callback=_listed, help="Such as E=ABCD,F=-ABC.")
@click.option("--resolution", type=click.IntRange(3, 8), default=None, help="The least one: 3, 4, 5.")
@click.option("--clear", callback=_listed, help="Interactions to keep clear of main effects and each other: AB,AC.")
@click.option(
    "--requirement",
    type=click.Choice(["clear", "distinct"]),
    default="clear",
    show_default=True,
    help="distinct: told from each other and from main effects; other interactions are assumed nil.",
)
@click.option(
    "--criterion",
    type=click.Choice(["aberration", "clear"]),
    default="aberration",
    show_default=True,
    help="Least aberration, or most clear interactions.",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="auto",
    show_default=True,
    help="auto: what is asked for.",
)
@click.option(
    "--augment",
    multiple=True,
    metavar="HOW",
    help="foldover, foldover:A, foldover:best, semifold:A, semifold:A:B+, centers:N, replicate:N, axial:ALPHA, "
    "optimal:N; repeatable, applied in order.",
)
@click.option("--blocks", type=click.IntRange(min=2), default=None, help="Number of blocks.")
@click.option("--whole-plot", callback=_listed, help="Factors that are hard to change: A,B.")
@click.option("--forbid", multiple=True, metavar="COMBINATION", help='Such as "A=+ B=+"; repeatable.')
@click.option(
    "--on-forbidden",
    type=click.Choice(["error", "around"]),
    default="error",
    show_default=True,
    help="Refuse a design with forbidden runs, or take another that has none.",
)
@click.option(
    "--shape",
    type=click.Choice(["circumscribed", "faced", "inscribed"]),
    default="circumscribed",
    show_default=True,
    help="Of a central composite design.",
)
@click.option("--model", default="main+2fi", show_default=True, help="What an optimal design is made for.")
@click.option(
    "--order", type=click.Choice(["random", "standard"]), default="random", show_default=True, help="Order of the runs."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the run order and of optimal designs.")
@click.option("--sd", type=float, default=None, help="Of one run over seeds, for power in units of the response.")
@click.option("--effect", callback=_numbers, help="Effects to find the power of: 0.003,0.005 [default: 1 and 2 sd].")
@click.option("--seeds", callback=_whole, help="Seeds a run, for the power: 3,5 [default: 3,5].")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, allow_dash=True), help="Write a worksheet; - prints it."
)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the design: .json or .csv.")
@json_option
def design(as_json: bool, csv_file: Path | None, out: Path | None, **given: Any) -> None:
    """Make a design: its table, defining relation, aliases, efficiency and power.

    REQUEST is such as 2^(5-1) or 2^4; without one, --factors and --runs, --resolution, --generators or --kind say
    what is meant. What --csv and --out write, `foldover analyse --design` reads.
    """
    from foldover.designs import to_csv
    from foldover.lab import judge_design
    from foldover.report import render_design_text

    made = _made(given)
    if csv_file == Path("-"):
        click.echo(to_csv(made), nl=False)
        return
    card = judge_design(made, sd=given["sd"], effects=given["effect"], seeds=given["seeds"])
    if as_json:
        print_json({**_plain(made), "card": to_plain(card)})
    else:
        click.echo(render_design_text(made, card, width=text_width()), nl=False)
    for path in (csv_file, out):
        if path is not None:
            _write(made, path, as_csv=path is csv_file)
            click.echo(f"wrote {path}", err=as_json)


def _made(given: dict[str, Any]) -> Design:
    from foldover.lab import DesignOptions, constraint_texts, make_design

    if given["effect"] and given["sd"] is None:
        raise UserError("--effect needs --sd", fix="Give the sd of one run over seeds, in the same units.")
    options = DesignOptions(
        factors=_factors(given["factors"]),
        request=given["request"],
        kind=given["kind"],
        runs=given["runs"],
        generators=given["generators"],
        resolution=given["resolution"],
        clear=given["clear"],
        requirement=given["requirement"],
        criterion=given["criterion"],
        augment=given["augment"],
        blocks=given["blocks"],
        whole_plot=given["whole_plot"],
        constraints=constraint_texts(given["forbid"]),
        on_forbidden=given["on_forbidden"],
        shape=given["shape"],
        model=given["model"],
        seed=given["seed"] if given["order"] == "random" else None,
        random_seed=given["seed"],
    )
    return make_design(options)


def _factors(text: str | None) -> tuple[Factor, ...]:
    """A whole number is a count; anything else is a path."""
    from foldover.lab import count_factors, read_factors

    if text is None:
        return ()
    if text.isdigit():
        return count_factors(int(text))
    path = Path(text)
    if not path.exists():
        raise DesignError(f"--factors is neither a number nor a file: {text}", fix="Write 5, or the path of a file.")
    return read_factors(path)


def _plain(made: Design) -> dict[str, Any]:
    """The document that `to_json` writes, as an object."""
    import json  # late: printing has its own

    from foldover.designs import to_json

    document: dict[str, Any] = json.loads(to_json(made))
    return document


def _write(made: Design, path: Path, *, as_csv: bool) -> None:
    from foldover.designs import to_csv, to_json
    from foldover.lab import write_text

    if as_csv or path.suffix.lower() == ".csv":
        write_text(path, to_csv(made))
    elif path.suffix.lower() == ".json":
        write_text(path, to_json(made, indent=1) + "\n")
    else:
        raise UserError(f"--out writes .json or .csv, not `{path.suffix}`", fix="Change the ending of the file.")
