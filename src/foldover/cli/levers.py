"""`foldover levers`: the catalogue of what may be varied."""

from __future__ import annotations

import click

from foldover.cli.options import json_option, print_json


@click.command()
@click.argument("trainer", default="lm")
@json_option
def levers(trainer: str, as_json: bool) -> None:
    """List the levers of TRAINER [default: lm] with their domains, defaults and presets."""
    from foldover.trainers import get_trainer

    found = get_trainer(trainer)
    if as_json:
        print_json(
            {
                "levers": list(found.levers.values()),
                "constants": list(found.constants.values()),
                "presets": dict(found.presets),
            }
        )
        return
    for title, declared in (("levers", found.levers), ("constants of a study", found.constants)):
        click.echo(f"{title}:")
        for lever in declared.values():
            neutral = "" if lever.neutral is None else f"; neutral {lever.neutral}"
            also = f"; also {', '.join(lever.aliases)}" if lever.aliases else ""
            needs = f"; needs {lever.needs}" if lever.needs else ""
            acts = f"; acts in {lever.phase}" + (f"; fires {lever.fires}" if lever.fires else "")
            click.echo(f"  {lever.name} = {lever.default}\n      {lever.doc}")
            click.echo(f"      {lever.domain()}{neutral}{needs}{acts}{also}")
            if lever.source:
                click.echo(f"      source: {lever.source}")
    for name, values in found.presets.items():
        changed = {key: value for key, value in values.items() if value != found.levers[key].default}
        settings = ", ".join(f"{key}={value}" for key, value in changed.items()) or "the defaults"
        click.echo(f"preset {name}: {settings}")
