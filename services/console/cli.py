"""`earmark`: one command line for people, make and CI. Every command is a thin door; what it does lies in a module of its own."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.console import dead_letter_commands, key_commands
from services.console.demo.command import demo
from services.console.errors import ConsoleError
from services.console.failures import sentence
from services.console.options import DEFAULT_FOLDER, AsJson, Folder, console, progress, progress_shown, settings_of
from services.console.processes import SERVICES, Addresses, Stack
from shared.local.process import run, undisturbed
from shared.partitions.partition import CODE_VERSION
from shared.settings import settings

if TYPE_CHECKING:
    from services.console.verify import Report
    from services.console.verify_log import Reach

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
ABOUT = "Stock promised exactly once. Sales channels post orders, warehouses report stock; Earmark says who gets what, and why."
FromLog = Annotated[
    bool, typer.Option("--from-log", help="Read all that the topics hold, and hold the rows to it: minutes for millions of orders.")
]
app = typer.Typer(
    name="earmark",
    help=ABOUT,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.add_typer(key_commands.app, name="key")
app.add_typer(dead_letter_commands.app, name="dead-letters")


def _version(asked: bool) -> None:
    if asked:
        print(f"earmark {CODE_VERSION}")
        raise typer.Exit


@app.callback(help=ABOUT)
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    del version  # asked and answered by then


class NobodyToAsk(ConsoleError):
    """A question would be asked, and there is no terminal. Give the answer as an option."""


@app.command()
def up(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Start Kafka, Postgres and all services, and keep them running. Makes an API key at the first start and prints it once."""
    from services.console.keys import first_key

    stack = Stack(folder, progress)
    with _nothing_left(), stack.whole_or_nothing():
        addresses = stack.up()
        with undisturbed():  # a key that was made and not shown would be lost
            _tell_up(addresses, run(first_key(stack.settings(), "acme")), as_json)


@contextmanager
def _nothing_left() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        progress("what this command had started is stopped; the data stays")
        raise


def _tell_up(addresses: Addresses, key: str | None, as_json: bool) -> None:
    facts = {name: getattr(addresses, name) for name in ("orders", "inventory", "allocator", "kafka")}
    if as_json:
        print(json.dumps(facts | ({"api_key": key} if key else {})), flush=True)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, address in facts.items():
        table.add_row(f"[bold]{name}[/bold]", address if name == "kafka" else f"{address}/docs")
    console.print("\n[bold green]Earmark is up.[/bold green]")
    console.print(table)
    if key:
        console.print(f"\nAPI key of merchant [bold]acme[/bold], shown this once: [bold]{key}[/bold]")
        console.print("Send it as the header [bold]Authorization: Bearer …[/bold]; `earmark key create MERCHANT` makes more.")
    console.print("\n`earmark status` shows it, `earmark down` stops it; the data stays.")


@app.command()
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the services and the private servers. The data stays."""
    Stack(folder, progress).down()
    console.print("[bold]Earmark is down.[/bold] `earmark up` starts it again with the same data.")


@app.command()
def clean(folder: Folder = DEFAULT_FOLDER, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and remove all data of the private servers. Not to be undone."""
    if not yes and not sys.stdin.isatty():
        raise NobodyToAsk("this can not be undone, and there is no terminal to ask on: give --yes (`make clean ARGS=--yes`)")
    if not yes:
        typer.confirm(f"Remove everything in {folder}, for ever?", abort=True)
    Stack(folder, progress).clean()
    Stack(folder / "demo", progress).clean()
    console.print(f"Removed the data in {folder}.")


@app.command()
def status(folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Show what runs. Exit status 0 when everything does."""
    stack = Stack(folder)
    facts: dict[str, Any] = {name: (found.pid if (found := stack.running(name)) else None) for name in SERVICES}
    facts |= dict.fromkeys(stack.private) | {server.name: server.pid for server in stack.servers.status()}
    if as_json:
        print(json.dumps(facts))
    else:
        for name, pid in facts.items():
            console.print(f"{'[green]●[/green]' if pid else '[red]○[/red]'} {name:<10} {f'process {pid}' if pid else 'not running'}")
    raise typer.Exit(0 if all(facts.values()) else 1)


@app.command()
def migrate() -> None:
    """Bring the database that EARMARK_POSTGRES names to this version, and make missing topics in EARMARK_KAFKA."""
    from shared.world import prepare

    run(prepare(settings()))
    console.print("Tables and topics are ready.")


@app.command()
def verify(folder: Folder = DEFAULT_FOLDER, from_log: FromLog = False, as_json: AsJson = False) -> None:
    """Prove the books: plain SQL over the whole ledger that shares no code with the services. With `--from-log` also against the topics.
    On a running system, too; changes nothing. Exit status 0 when every check holds."""
    from services.console.settled import prove
    from services.console.verify import Report
    from services.console.verify_log import verify_log

    settings = settings_of(folder)
    reach: list[Reach] = []
    with progress_shown() as shown:
        report, under_way = run(prove(settings, shown))
        if from_log:
            told = run(verify_log(settings, shown))
            report, reach = Report([*report.checks, *told.report.checks]), told.reach
    if as_json:
        print(json.dumps(report.facts() | {"under_way": under_way} | ({"log": [one.facts() for one in reach]} if from_log else {})))
    else:
        _tell_proof(report, under_way, reach)
    raise typer.Exit(0 if report.ok else 1)


def _tell_proof(report: "Report", under_way: list[str], reach: list["Reach"]) -> None:
    from services.console.demo import looks
    from services.console.demo.facts import Check

    console.print(looks.proof([Check(check.name, check.counted, tuple(check.problems)) for check in report.checks]))
    if under_way:
        console.print(f"  Checks that hold only while nothing is under way were left out: {escape(under_way[0])}", soft_wrap=True)
    for one in reach:
        since = f"since {one.since:%Y-%m-%d %H:%M} UTC; older ones are not kept" if one.since else "all that were ever written"
        console.print(f"  [dim]{one.records:,} records of {one.topic}, {since}[/dim]", soft_wrap=True)


def guarded(command: Callable[[], None]) -> int:
    """Run it; an expected failure becomes one clear sentence and exit status 1, Ctrl-C becomes 130."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it can not reach is in our sentence
    try:
        command()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's, which says nothing
            _say_interrupted()
        raise
    except KeyboardInterrupt:
        _say_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()
        return 1
    except Exception as error:
        if (told := sentence(error)) is None:
            raise
        console.print(f"[bold red]earmark:[/bold red] {escape(told)}", soft_wrap=True)
        return 1
    return 0


def _say_interrupted() -> None:
    console.print("\n[bold]Interrupted.[/bold]")
