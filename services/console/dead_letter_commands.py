"""`earmark dead-letters`: what could not be taken, and what to do with it."""

import json
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from services.console import dead_letters
from services.console.dead_letters import Letter, Place, readable
from services.console.options import DEFAULT_FOLDER, AsJson, Folder, console, settings_of
from shared.local.process import run

app = typer.Typer(
    help="Records that could not be taken: kept whole, so that nothing is lost and the others go on.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="The letter, as the list shows it.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")]
Status = Annotated[Literal["waiting", "replayed", "discarded"], typer.Option(help="Which ones.")]


@app.command("list")
def list_letters(status: Status = "waiting", limit: Limit = 200, folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show the records that were not taken, and why."""
    letters = run(dead_letters.listed(settings_of(folder), status, limit))
    if as_json:
        print(json.dumps({"letters": [letter.as_json() for letter in letters]}))
    elif not letters:
        console.print(f"[green]No dead letter is {status}.[/green]")
    else:
        console.print(_table(letters))
        if status == "waiting":
            console.print("`earmark dead-letters show NAME` shows one whole; `replay` takes it once more, `discard` gives it up.")


@app.command()
def show(name: Name, folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show one record whole: bytes, headers, and why it was not taken."""
    letter = run(dead_letters.found(settings_of(folder), Place.parse(name)))
    if as_json:
        print(json.dumps(letter.as_json()))
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in letter.as_json().items():
        if title not in {"value", "headers"} and value is not None:
            table.add_row(title.replace("_", " "), _harmless(str(value)))
    for header, raw in letter.headers:
        table.add_row("header", _harmless(f"{header}: {readable(raw)}"))
    console.print(table)
    print(_harmless(readable(letter.value) or ""))


@app.command()
def replay(name: Name, folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Take a record once more, after its cause was put right."""
    _tell(run(dead_letters.replay(settings_of(folder), Place.parse(name))), as_json)


@app.command()
def discard(name: Name, folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Give a record up: it is kept, and no longer waits."""
    _tell(run(dead_letters.discard(settings_of(folder), Place.parse(name))), as_json)


def _tell(letter: Letter, as_json: bool) -> None:
    if as_json:
        print(json.dumps(letter.as_json()))
    else:
        console.print(f"{letter.place} is {letter.status}.")


def _table(letters: list[Letter]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("found", no_wrap=True)
    table.add_column("refused by", no_wrap=True)
    table.add_column("why", overflow="fold")
    for letter in letters:
        why = f"{letter.field}: {letter.reason}" if letter.field else letter.reason
        table.add_row(str(letter.place), f"{letter.found_at:%Y-%m-%d %H:%M}", letter.service, _harmless(why))
    return table


def _harmless(hostile: str) -> Text:
    """What others sent, so that it can neither style nor steer the terminal."""
    return Text("".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in hostile))
