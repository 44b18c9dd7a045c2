"""``ndicloudfs config``: each setting with its value and where that comes from."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from ndicloudfs.cli import settings, tables


@click.command()
@settings.flags("profile")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def config(as_json: bool, **given: Any) -> None:
    """Show each setting, its value, and where that comes from.

    Settings come from config.toml, the environment and flags; what comes later weighs more.

    Example: ndicloudfs config --profile lab
    """
    values = settings.resolve(given)
    path = settings.file_path(os.environ)
    if as_json:
        shown = {
            name: {
                "value": None if value.weight == 0 else value.shown,
                "default": value.setting.default_shown,
                "origin": value.origin,
                "variable": value.setting.variable,
            }
            for name, value in values.items()
        }
        click.echo(json.dumps({"file": str(path), "settings": shown}, indent=2))
        return
    rows = [(name, value.shown, value.origin) for name, value in values.items()]
    tables.show(rows, ("setting", "value", "from"))
    click.echo(f"\nfile: {path}" + ("" if path.exists() else " (not there)"))
