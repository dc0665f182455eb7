"""What all commands of `earmark` share: where they print, and the options that mean the same everywhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.console.errors import ConsoleError
from services.console.processes import Stack
from shared.settings import Settings, settings

console = Console(stderr=True, highlight=False)

DEFAULT_FOLDER = Path(".earmark")
Folder = Annotated[Path, typer.Option("--data", envvar="EARMARK_DATA", help="Where the private Kafka and Postgres keep their data.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]


class NothingUp(ConsoleError):
    """There is no running Earmark to ask. Run `earmark up` first, or name Postgres with EARMARK_POSTGRES."""


def progress(step: str) -> None:
    """One line per step, on standard error."""
    console.print(f"  [dim]·[/dim] {step}")


@contextmanager
def progress_shown() -> Iterator[Callable[[str, int, int], None]]:
    """How far long work is, on standard error where that is a terminal: to be told what is done, how much of it, and of how much."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def settings_of(folder: Path) -> Settings:
    """The settings of the stack that runs from this folder, else those of the environment. Raises NothingUp."""
    if (folder / "services.json").exists():
        stack = Stack(folder)
        if stack.lacks_postgres():
            raise NothingUp(f"what was started from {folder} is down: `earmark up` starts it again, with its data")
        return stack.settings()
    found = settings()
    if found.postgres is None:
        raise NothingUp(f"nothing was started from {folder}: run `earmark up`, or name Postgres with EARMARK_POSTGRES")
    return found
