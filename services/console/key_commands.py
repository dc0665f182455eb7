"""`earmark key`: make, list and revoke API keys."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.console import keys
from services.console.options import DEFAULT_FOLDER, AsJson, Folder, console, settings_of
from shared.local.process import run

app = typer.Typer(help="API keys: a key names its merchant, so no request body ever does.", no_args_is_help=True)

Merchant = Annotated[str, typer.Argument(help="The merchant that the key speaks for.")]


@app.command()
def create(
    merchant: Merchant,
    name: Annotated[str, typer.Option(help="What it is for, to tell it from others.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="It may ask, and change nothing.")] = False,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    made = run(keys.create(settings_of(folder), merchant, name, read_only=read_only))
    if as_json:
        print(json.dumps({"id": made.id, "merchant": made.merchant, "api_key": made.token}))
        return
    console.print(f"API key of merchant [bold]{made.merchant}[/bold], shown this once:")
    print(made.token)
    console.print(f"Send it as the header [bold]Authorization: Bearer …[/bold]; `earmark key revoke {made.id}` ends it.")


@app.command("list")
def list_keys(
    merchant: Annotated[str | None, typer.Argument(help="Only the keys of this merchant.")] = None,
    folder: Folder = DEFAULT_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show every key, never its secret."""
    found = run(keys.known(settings_of(folder), merchant))
    if as_json:
        print(json.dumps({"keys": [_as_json(key) for key in found]}))
        return
    console.print(table(found) if found else "There is no key yet; `earmark key create MERCHANT` makes one.")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `earmark key list` shows it.")],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """End a key. Within five seconds no service takes it any more."""
    if not run(keys.revoke(settings_of(folder), key_id)):
        console.print(f"[bold red]earmark:[/bold red] no key {key_id} is in use: `earmark key list` shows those that are")
        raise typer.Exit(1)
    console.print(f"Key {key_id} is revoked.")


def table(found: Sequence[keys.Known]) -> Table:
    """All of it at any width from 80 columns on: what people copy stays in one piece, the rest goes on in a second line."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for column, whole in {"id": 16, "merchant": 0, "name": 0, "may": 0, "made": 10, "last used": 10, "state": 7}.items():
        made.add_column(column, no_wrap=bool(whole), min_width=whole or None, overflow="fold")
    for key in found:
        used = f"{key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never"
        state = Text(key.state, style="green" if key.state == "usable" else "red")
        made.add_row(key.id, key.merchant, Text(key.name), ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d}", used, state)
    return made


def _as_json(key: keys.Known) -> dict[str, object]:
    times = {name: moment.isoformat() if (moment := getattr(key, name)) else None for name in ("created_at", "expires_at", "last_used_at")}
    return {"id": key.id, "merchant": key.merchant, "name": key.name, "scopes": list(key.scopes), "state": key.state} | times
