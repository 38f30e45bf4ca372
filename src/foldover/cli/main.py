"""The `foldover` command: its groups, and how errors leave it.

Only click and `core` are imported here; each command imports what it needs when it runs, so that `--help`
answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback

import click

import foldover
from foldover.cli.allocate import allocate
from foldover.cli.analyse import analyse
from foldover.cli.artifacts import evaluate, export, inspect, sensitivity
from foldover.cli.data import data
from foldover.cli.design import design
from foldover.cli.diagnose import diagnose
from foldover.cli.levers import levers
from foldover.cli.program import amend, manifest
from foldover.cli.race import race
from foldover.cli.study import check, collect, decide, execute, plan, report, run, status, verify
from foldover.cli.submission import submission
from foldover.cli.train import train
from foldover.core import FoldoverError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(foldover.__version__, prog_name="foldover")
def app() -> None:
    """Screen, confirm, refine, continue: a laboratory for pretraining recipes of small language models.

    `foldover run STUDY --dir DIR` does all of a study; the other verbs do one step of it each. The same
    command again continues where it was interrupted.
    """


for command in (
    run,
    check,
    plan,
    execute,
    collect,
    analyse,
    decide,
    report,
    verify,
    status,
    amend,
    manifest,
    train,
    diagnose,
    levers,
    data,
    design,
    race,
    export,
    evaluate,
    sensitivity,
    allocate,
    inspect,
    submission,
):
    app.add_command(command)


def main() -> None:
    """Run the command line and exit with its code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = app.main(args=arguments, prog_name="foldover", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command continues", err=True)
        return INTERRUPTED
    except FoldoverError as error:
        _show(error, as_json="--json" in arguments)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        return 3
    except Exception:
        # A mistake of ours: shown whole, and never with the exit code by which a study says no.
        traceback.print_exc()
        return 3
    return code if isinstance(code, int) else 0


def _show(error: FoldoverError, *, as_json: bool) -> None:
    click.echo(f"error: {error}" if "\n" not in str(error) else str(error), err=True)
    if as_json:
        click.echo(json.dumps({"error": {"kind": type(error).__name__, "message": str(error)}}))
