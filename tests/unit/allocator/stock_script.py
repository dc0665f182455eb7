"""Stories about one SKU (or, with `sku=`, several) as text: a command on the left, what the stock side answers on the right.

    receive W 10            | moved +10
    line o1 4               | o1 has 4
    line o2 8 partial       | o2 has 6 waits 2
    release o1              | o1 has 0, o2 has 8

Orders demand stock in the order in which they are first named; `p=-1` puts one before them. Attempts count up by themselves. A leading
`+` puts the command into the batch of the line before.
"""

from datetime import date, timedelta
from typing import Any

from services.allocator.core.stock.settings import StockSettings
from shared.partitions.model import Send
from shared.schemas.commands import (
    Activate,
    AdjustStock,
    ChainStop,
    Consume,
    Forget,
    MarkPicking,
    ReceiveStock,
    Release,
    ReserveChain,
    ReserveLine,
    ReturnBaton,
    StockCommand,
    UnmarkPicking,
)
from shared.schemas.events import Forgotten, Outcome, StockCommandRefused, StockLevelChanged, StockMoved, Wake
from shared.schemas.values import AdjustmentReason, Fill, Strategy
from tests.unit.allocator.stock_partition import START, StockPartition

MERCHANT, SKU = "acme", "A"
FILLS = {"partial": Fill.PARTIAL, "whole": Fill.WHOLE_LINES}
SERVED = {"ok": True, "failed": False, "none": None}


def demand(name: str) -> str:
    """The demand's id of a short name."""
    return f"sales-order/{MERCHANT}/{name}"


class Script:
    """Plays such a story. `levels`: stock levels are told in the answers, too."""

    def __init__(self, settings: StockSettings | None = None, *, forgetful: bool = False) -> None:
        self.partition = StockPartition(settings, forgetful=forgetful)
        self._attempts: dict[str, int] = {}
        self._alternatives: dict[str, str] = {}
        self._batons: dict[str, int] = {}
        self._commands = 0

    def play(self, story: str) -> None:
        """Every line is answered as it says."""
        lines = [line.split("|") for line in story.strip().splitlines()]
        batches: list[tuple[list[str], str]] = []
        for command, *answer in lines:
            if command.strip().startswith("+"):
                batches[-1][0].append(command.strip().removeprefix("+"))
                batches[-1] = (batches[-1][0], answer[0].strip() if answer else "")
            else:
                batches.append(([command], answer[0].strip() if answer else ""))
        for commands, wanted in batches:
            answered = ", ".join(filter(None, map(self._said, self.sends(*commands))))
            assert answered == wanted, f"{commands}: {answered!r}, not {wanted!r}"

    def sends(self, *commands: str, seconds: float = 1) -> list[Send]:
        """The messages of one batch of these commands."""
        seconds = sum(float(command.split()[1]) for command in commands if command.split()[0] == "wait") or seconds
        return self.partition.batch([self._command(command.split()) for command in commands if command.split()[0] != "wait"], seconds)

    def outcomes(self, *commands: str) -> list[Outcome]:
        """The outcomes of one batch of these commands."""
        return [send.message for send in self.sends(*commands) if isinstance(send.message, Outcome)]

    def levels(self, *commands: str, seconds: float = 1) -> list[StockLevelChanged]:
        """The stock levels that one batch of these commands tells."""
        return [send.message for send in self.sends(*commands, seconds=seconds) if isinstance(send.message, StockLevelChanged)]

    # ---------------------------------------------------------------- commands

    def _command(self, words: list[str]) -> StockCommand:
        kind, *rest = words
        options = dict(word.split("=", 1) for word in rest if "=" in word)
        plain = [word for word in rest if "=" not in word]
        if kind in ("receive", "adjust"):
            return self._inventory(kind, plain, options)
        if kind in ("line", "reduce"):
            return self._line(plain, options, reduce=kind == "reduce")
        if kind == "chain":
            return self._chain(plain, options)
        return self._other(kind, plain, options)

    def _inventory(self, kind: str, plain: list[str], options: dict[str, str]) -> StockCommand:
        self._commands += 1
        common: dict[str, Any] = {
            "command_id": options.get("id", f"c{self._commands}"),
            "merchant": MERCHANT,
            "sku": options.get("sku", SKU),
            "warehouse": plain[0],
            "bin": options.get("bin", "B1"),
            "lot": options.get("lot"),
            "issued_at": self.partition.now,
        }
        if kind == "adjust":
            return AdjustStock(**common, change=int(plain[1]), reason=AdjustmentReason.CYCLE_COUNT)
        expires_on = date.fromisoformat(options["expires"]) if "expires" in options else None
        return ReceiveStock(**common, units=int(plain[1]), expires_on=expires_on)

    def _line(self, plain: list[str], options: dict[str, str], *, reduce: bool) -> ReserveLine:
        name, units, *more = plain
        return ReserveLine(
            **self._named(name, options, raises=True),
            sku=options.get("sku", SKU),
            alternative=self._alternatives.get(name, ""),
            units=int(units),
            fill=Fill.ALL_OR_NOTHING if reduce else FILLS[more[0] if more else "whole"],
            reduce=reduce,
            warehouses=tuple(options.get("wh", "W").split(",")),
            **self._placed(name, options),
        )

    def _chain(self, plain: list[str], options: dict[str, str]) -> ReserveChain:
        name, units = plain
        warehouse = self._alternatives[name] = options.get("wh", "W")
        stops = [ChainStop(sku=options.get("sku", SKU), units=int(units))]
        if "then" in options:
            stops.append(ChainStop(sku=options["then"], units=1))
        named = self._named(name, options, raises=True)
        started_at = self.partition.now - timedelta(days=float(options["days"])) if "days" in options else None
        return ReserveChain(
            **named, alternative=warehouse, stop=0, stops=tuple(stops), started_at=started_at, **self._placed(name, options)
        )

    def _other(self, kind: str, plain: list[str], options: dict[str, str]) -> StockCommand:
        name = plain[0]
        if "wh" in options:
            self._alternatives[name] = options["wh"]
        common = self._named(name, options) | {"sku": options.get("sku", SKU), "alternative": self._alternatives.get(name, "")}
        if kind == "return":
            return ReturnBaton(**common, baton=int(options.get("baton", self._batons.get(name, 1))), served=SERVED[plain[1]])
        if kind in ("pick", "unpick"):
            return (MarkPicking if kind == "pick" else UnmarkPicking)(**common, mark=int(options.get("mark", 1)))
        if kind == "consume":
            return Consume(**common, command=int(options.get("number", 2)))
        if kind == "forget":
            return Forget(**common)
        return Release(**common) if kind == "release" else Activate(**common)

    def _named(self, name: str, options: dict[str, str], *, raises: bool = False) -> dict[str, Any]:
        attempt = int(options["attempt"]) if "attempt" in options else self._attempts.setdefault(name, 0) + raises
        self._attempts[name] = max(attempt, self._attempts.get(name, 0))
        return {"demand": demand(name), "merchant": MERCHANT, "attempt": max(attempt, 1)}

    def _placed(self, name: str, options: dict[str, str]) -> dict[str, Any]:
        return {
            "priority": int(options.get("p", 0)),
            "demanded_at": START + timedelta(seconds=list(self._attempts).index(name)),
            "strategy": Strategy(options.get("by", "fefo")),
        }

    # ---------------------------------------------------------------- answers

    def _said(self, send: Send) -> str:
        message = send.message
        if isinstance(message, Outcome):
            return said(message)
        if isinstance(message, Wake):
            self._batons[_short(message.demand)] = message.baton
            return f"wake {_short(message.demand)}"
        if isinstance(message, ReserveChain):
            return f"{_short(message.demand)} goes on to {message.sku}"
        if isinstance(message, Forgotten):
            return f"{_short(message.demand)} forgotten"
        if isinstance(message, StockMoved):
            return f"moved {message.change:+}"
        if isinstance(message, StockCommandRefused):
            return f"refused {message.reason}"
        assert isinstance(message, StockLevelChanged), message
        return ""


def said(outcome: Outcome) -> str:
    """An outcome in few words."""
    words = [_short(outcome.demand), "has", str(outcome.reserved_units)]
    for word, units in (("flagged", outcome.flagged_units), ("waits", outcome.waiting_units), ("used", outcome.consumed_units)):
        words += [word, str(units)] if units else []
    words += ["pending"] if outcome.pending else []
    words += ["picking"] if outcome.mark is not None else []
    words += [outcome.note] if outcome.note else []
    return " ".join(words)


def where(outcome: Outcome) -> str:
    """Where its units lie: `W/B1 4`."""
    return ", ".join(f"{piece.warehouse}/{piece.bin} {piece.units}" for piece in outcome.pieces)


def _short(name: str) -> str:
    return name.rpartition("/")[2]
