"""`make acceptance`: which promised behaviours have a passing test and which have none. Reads the results of the test runs.

Exits 1 when a test of a behaviour fails: a missing test is work to do, a failing one is a broken promise.
"""

import argparse
import json
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.acceptance.behaviours import Behaviour, behaviours
from tests.acceptance.results import Results, read, state

PIPE_WIDTH = 160
MARKS = {"proven": "[green]✔[/]", "failing": "[red]✘[/]", "untested": "[dim]·[/]"}


def main() -> None:
    """Print the table of every document, then the counts."""
    parser = argparse.ArgumentParser(prog="make acceptance", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the test runs left their results")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead: id to state")
    options = parser.parse_args()
    results = read(sorted(options.folder.glob("*.json")))
    states = {one.id: state(results.get(one.id, {})) for one in behaviours().values()}
    if options.json:
        print(json.dumps(states, indent=1))
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=PIPE_WIDTH), results, states)
    sys.exit("failing" in states.values())


def show(console: Console, results: Results, states: dict[str, str]) -> None:
    """The report for people."""
    for document, group in groupby(behaviours().values(), key=lambda one: one.document):
        members = list(group)
        proven = sum(states[one.id] == "proven" for one in members)
        console.print(_table(f"{document}: {proven} of {len(members)}", members, results, states))
    counts = Counter(states.values())
    console.print(
        f"[bold]{counts['proven']} of {len(states)}[/] behaviours are proven, {counts['failing']} fail, {counts['untested']} have no test."
    )


def _table(title: str, members: list[Behaviour], results: Results, states: dict[str, str]) -> Table:
    table = Table(title=title, title_justify="left", expand=True, box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, ratio in (("", None), ("id", None), ("tag", None), ("behaviour", 2), ("tests", 1)):
        table.add_column(heading, ratio=ratio, no_wrap=True, overflow="ellipsis")
    for one in members:
        tests = [name.rpartition("::")[2] for name in results.get(one.id, {})]
        shown = (f"({len(tests)}) " if len(tests) > 1 else "") + ", ".join(tests)
        table.add_row(MARKS[states[one.id]], one.id, one.tag, escape(one.text), escape(shown))
    return table


if __name__ == "__main__":
    main()
