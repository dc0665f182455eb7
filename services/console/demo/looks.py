"""How the facts of a demo look: facts in, renderables out. Fits any width from 60 columns on; without colours it still reads."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.console.demo.facts import Check, Facts, Story, Summary
from services.console.demo.plan import NO_ORDER
from services.console.demo.tally import Tally, Telling

WORDS = {
    "allocated": ("●", "green"),
    "partially_allocated": ("◐", "yellow"),
    "could_not_allocate": ("○", "red"),
    "overallocated": ("▲", "magenta"),
    "released": ("↺", "cyan"),
    "consumed": ("✓", "blue"),
}
"""Outcome to its sign and colour; the sign tells it where there are no colours."""
LEFT = 2
BAR = 30
WIDE = 100
"""From this width on there is room for details."""


def words(outcome: str) -> Text:
    """`● allocated`, coloured."""
    sign, style = WORDS.get(outcome.replace(" ", "_"), ("·", ""))
    return Text(f"{sign} {outcome.replace('_', ' ')}", style=style)


def indented(renderable: RenderableType, left: int = LEFT) -> Padding:
    """With our left margin."""
    return Padding(renderable, (0, 0, 0, left))


def title() -> Text:
    """The first line."""
    return Text.assemble("\n", (" " * LEFT + "Earmark", "bold"), ("  stock promised exactly once", "dim"), "\n")


def step_line(seconds: float, told: str) -> RenderableType:
    """` 3.9 s  ✓ Kafka and Postgres run`; what does not fit goes on under its own beginning."""
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True, style="dim")
    line.add_column(no_wrap=True, style="green")
    line.add_column()
    line.add_row(f"{seconds:7.1f} s ", "✓", told)
    return line


# ---------------------------------------------------------------- the live part


def stream_row(telling: Telling, wide: bool) -> tuple[Text, ...]:
    """One event of the stream."""
    lines = Text(f"{telling.whole_lines}/{telling.lines}", style="dim", justify="right")
    if telling.outcome == "released":
        lines = Text("")
    if telling.latency_ms is not None:
        latency = Text(f"{telling.latency_ms:,.0f} ms", style="dim", justify="right")
    else:
        latency = Text("served" if _was_served(telling) and not wide else "", style="cyan", justify="right")
    row = (Text(telling.number, style="bold"), words(telling.outcome), lines)
    return (*row, _detail(telling), latency) if wide else (*row, latency)


def _detail(telling: Telling) -> Text:
    if telling.outcome == "released":
        return Text("its stock is free again", style="dim")
    if _was_served(telling):
        return Text("served from the queue", style="cyan")
    if telling.missing:
        sku, units = telling.missing
        return Text(f"waits for {units:,} × {sku}", style="dim")
    return Text("")


def _was_served(telling: Telling) -> bool:
    """Whether it got units that it had waited for."""
    return telling.before in {"partially_allocated", "could_not_allocate"} and telling.outcome in {"allocated", "partially_allocated"}


def stream_text(telling: Telling) -> str:
    """One event as a plain line."""
    return "  ".join(cell.plain for cell in stream_row(telling, wide=True) if cell.plain)


def flow(tally: Tally, total: int, recent: Sequence[Telling], seconds: float, width: int, height: int) -> RenderableType:
    """Progress, the event stream and the totals beside it, as they are now."""
    rows = max(4, min(18, height - 12))
    wide = width >= WIDE
    stream = Table.grid(padding=(0, 1), expand=True)
    for _ in range(5 if wide else 4):
        stream.add_column(no_wrap=True)
    for telling in list(recent)[-rows:]:
        stream.add_row(*stream_row(telling, wide))
    for _ in range(rows - len(recent)):
        stream.add_row("")
    both = Table.grid(expand=True)
    both.add_column(ratio=1)
    both.add_column(width=42 if wide else 30)
    rate = tally.settled / seconds if seconds > 0 else 0.0
    totals = Group(_bars(tally.outcomes, 11 if wide else 0), "", _figures(tally, rate))
    both.add_row(
        Panel(stream, title="[dim]earmark.allocations[/dim]", title_align="left", border_style="dim", height=rows + 2),
        Panel(totals, title="[dim]orders[/dim]", title_align="left", border_style="dim", height=rows + 2),
    )
    return Group(_progress(tally.settled, total, seconds), both)


def _progress(done: int, total: int, seconds: float) -> RenderableType:
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=max(total, 1), completed=done, complete_style="green", finished_style="green")
    line.add_row(Text.assemble((f"{seconds:7.1f} s  ", "dim"), "orders answered"), bar, Text(f"{done:,} of {total:,}"))
    return line


def _figures(tally: Tally, rate: float) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(style="dim")
    grid.add_column(justify="right")
    grid.add_row("posted", f"{len(tally.orders):,}")
    grid.add_row("answers/s", f"{rate:,.0f}")
    return grid


def _bars(outcomes: Mapping[str, int], bar_width: int, shown: Iterable[str] = WORDS) -> Table:
    """Outcomes with their numbers, and bars where there is room. Those that never came stay out, but for the first three."""
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    if bar_width:
        grid.add_column(width=bar_width)
    most = max(outcomes.values(), default=0)
    for place, outcome in enumerate(shown):
        count = outcomes.get(outcome, 0)
        if not count and place > 2:
            continue
        row: list[RenderableType] = [words(outcome), f"{count:,}"]
        if bar_width:
            row.append(Text("━" * round(bar_width * count / most) if most else "", style=WORDS[outcome][1]))
        grid.add_row(*row)
    return grid


# ---------------------------------------------------------------- what stays on the screen


def summary(found: Summary) -> RenderableType:
    """The orders by allocation status, and the figures."""
    total = max(1, found.orders)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    for outcome, (_, style) in WORDS.items():
        if count := found.statuses.get(outcome, 0):
            name = words(outcome)
            if outcome == "released":
                name.append(" (canceled)")
            table.add_row(name, f"{count:,}", f"{100 * count / total:.0f} %", Text("━" * max(1, round(BAR * count / total)), style=style))
    figures = Table.grid(padding=(0, 2))
    figures.add_column(style="dim", no_wrap=True)
    figures.add_column()
    figures.add_row("reserved", f"{found.reserved_units:,} of {found.wanted_units:,} units wanted, on {found.reservations:,} lines")
    figures.add_row("throughput", f"{found.orders_per_second:,.0f} orders/s, {found.lines_per_second:,.0f} lines/s, posted to decided")
    figures.add_row("latency", f"p50 {found.latency_p50_ms:,.0f} ms, p99 {found.latency_p99_ms:,.0f} ms, post to decision, per order")
    for reason, count in found.left_out.items():
        figures.add_row("left out", f"{count:,} {'cancellations' if reason == NO_ORDER else 'rows'}: {reason}")
    for reason, count in found.refused.items():
        figures.add_row("refused", f"{count:,} {'order' if count == 1 else 'orders'}: {reason}")
    return Group("", indented(table, 12), "", indented(figures, 12), "")


def story(number: int, told: Story) -> RenderableType:
    """One story: what is done, who was in it, what came of it."""
    heading = Text.assemble((f"{number}  ", "dim"), (told.title, "bold"))
    if told.skipped:
        return Group(indented(heading), indented(Text(f"not shown: {told.skipped}", style="dim"), 5), "")
    ended = Text.assemble(told.ended, (f"  {told.milliseconds:,.0f} ms", "dim"))
    complaints = [indented(Text(complaint, style="bold red"), 5) for complaint in told.complaints]
    return Group(indented(heading), indented(told.told, 5), indented(_story_rows(told), 5), indented(ended, 5), *complaints, "")


def _story_rows(told: Story) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for column in told.columns:
        table.add_column(column, justify="right" if column in {"waits for", "got", "holds", "not covered"} else "left", no_wrap=True)
    for row in told.rows:
        table.add_row(*(_cell(column, value) for column, value in zip(told.columns, row, strict=True)))
    return table


def _cell(column: str, value: str | int) -> Text:
    if column == "now":
        return words(str(value))
    if column == "got" and value:
        return Text(f"+{value:,}", style="bold green")
    if column == "not covered" and value:
        return Text(f"{value:,}", style="bold magenta")
    return Text(f"{value:,}" if isinstance(value, int) else value, style="dim" if value == 0 else "")


def proof(checks: Sequence[Check]) -> RenderableType:
    """What `earmark verify` found."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(max_width=90)
    table.add_column(justify="right", no_wrap=True, style="dim")
    for check in checks:
        bad = bool(check.problems)
        table.add_row(Text("✗" if bad else "✓", style="bold red" if bad else "green"), check.name, f"{check.checked:,}")
        for problem in check.problems[:5]:
            table.add_row("", Text(problem, style="red"), "")
    heading = Text.assemble(("earmark verify", "bold"), ("  plain SQL that shares no code with the services", "dim"))
    return Group("", indented(heading), indented(table, 5), "")


def verdict(facts: Facts) -> RenderableType:
    """The last lines."""
    if facts.held:
        said = Text.assemble(("Everything held.", "bold green"), (f"  {facts.seconds:.1f} s in all", "dim"))
        return Group(indented(said), "")
    complaints = [indented(Text(f"✗ {complaint}", style="red"), 5) for complaint in facts.complaints]
    return Group(indented(Text("Not everything held:", style="bold red")), *complaints, "")


def gone(facts: Facts, left_in: Path | None) -> RenderableType:
    """After everything was stopped."""
    how = "It is over" if facts.seconds else "Stopped"
    data = f"its logs and data stay in {left_in} until the next demo" if left_in else "its data is removed"
    return indented(Text(f"{how}: nothing is left running, {data}.\n", style="dim"))


def kept(addresses: Mapping[str, str], folder: Path) -> RenderableType:
    """What still runs, and how to look around. The command names the demo's own folder: `earmark clean` alone would also remove what
    `earmark up` keeps beside it."""
    ending = f"`earmark clean --data {shlex.quote(str(folder))}`"
    table = Table.grid(padding=(0, 2))
    for name, address in addresses.items():
        table.add_row(Text(name, style="bold"), address)
    return Group(indented(Text(f"It still runs; look around. {ending} stops it and removes its data.")), "", indented(table, 5), "")
