"""`earmark demo`: the first thing that people see of Earmark."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.console.options import DEFAULT_FOLDER, AsJson, Folder

Orders = Annotated[
    Path | None,
    typer.Option(
        "--orders", help="A shop's order lines, .csv or .csv.gz, with the columns InvoiceNo, StockCode and Quantity.", dir_okay=False
    ),
]
Count = Annotated[int, typer.Option("--count", min=20, max=1_000_000, help="How many orders to make up where no file is given.")]
Seed = Annotated[int, typer.Option("--seed", help="Another seed makes up other orders and another opening stock.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, to look around.")]


def demo(
    orders: Orders = None, count: Count = 300, seed: Seed = 1, keep: Keep = False, folder: Folder = DEFAULT_FOLDER, as_json: AsJson = False
) -> None:
    """Show the whole flow on a real Kafka and a real Postgres, started for it: stock is received, orders are posted, allocation events
    arrive; then a restock, an adjustment and a cancel, and `earmark verify` proves the books. Exit status 0 when everything held."""
    # Here, because every other command would load all of it too.
    from services.console.demo.display import display
    from services.console.demo.order_lines import generate, read_file
    from services.console.demo.plan import plan
    from services.console.demo.script import perform

    reading = read_file(orders) if orders else generate(count, seed)
    facts = perform(plan(reading, seed), folder / "demo", display(as_json=as_json), keep=keep)
    if as_json:
        print(json.dumps(facts.as_json()))
    raise typer.Exit(0 if facts.held else 1)
