"""Records that must not harm their neighbours: the corpus of the wire on the topics of others, and what breaks the allocator's own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.schemas.values import DemandKind
from shared.schemas.wire import Envelope, encode
from tests.contract.hostile_records import HOSTILE
from tests.support.allocator import NOON, order, receipt

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Poison:
    """One record: what is wrong with it, its bytes and headers, and how it is refused: the field, and a piece of the reason."""

    name: str
    value: bytes | None
    headers: Headers
    field: str
    reason: str


def kind(name: str, version: str = "v1") -> Headers:
    """The one header that a reader of others' topics needs."""
    return (("ce_type", f"earmark.{name}.{version}".encode()),)


def _headers_that_mislead(good: bytes, right: str, wrong: str) -> list[Poison]:
    return [
        Poison("no headers", good, (), "ce_type", "does not belong"),
        Poison("another topic's type", good, kind(wrong), "ce_type", "does not belong"),
        Poison("a type of somebody else", good, (("ce_type", b"com.example.stock.v1"),), "ce_type", "does not belong"),
        Poison("a newer version", good, kind(right, "v2"), "ce_type", "upgrade"),
        Poison("a version of no number", good, kind(right, "final"), "ce_type", "schema"),
        Poison("a type that is not UTF-8", good, (("ce_type", b"\xff\xfe"),), "ce_type", "does not belong"),
        Poison("a type without a value", good, (("ce_type", None),), "ce_type", "does not belong"),
    ]


def on_inventory(sku: str) -> list[Poison]:
    """For `earmark.inventory`: every hostile record of the wire's corpus, and headers that mislead."""
    good = encode(receipt("never", sku, 1), key=sku, envelope=Envelope("test", 1), time=NOON).value
    corpus = [Poison(one.name, one.value, kind("receive_stock"), one.field, one.reason) for one in HOSTILE]
    return corpus + _headers_that_mislead(good, "receive_stock", "order_changed")


def on_orders(sku: str, number: str, largest: int) -> list[Poison]:
    """For `earmark.orders`. `largest`: so many bytes the broker still takes."""
    good = encode(order(number, {sku: 1}), key=number, envelope=Envelope("test", 1), time=NOON).value

    def with_demand(change: Callable[[dict[str, Any]], None]) -> bytes:
        whole = json.loads(good)
        change(whole["demand"])
        return json.dumps(whole).encode()

    def with_line(**changed: Any) -> bytes:
        return with_demand(lambda demand: demand["lines"][0].update(changed))

    other = f"{DemandKind.WORK_ORDER}/acme/{number}"
    whole_lines = [{"sku": f"{sku}-{index}", "units": 1} for index in range(1_001)]
    bad = [
        ("a tombstone", None, "value", "tombstone"),
        ("bad JSON", good[:-1], "value", "not JSON"),
        ("NUL behind the end", good + b"\x00", "value", "not JSON"),
        ("a lone surrogate", good.replace(b'"awaiting_fulfillment"', b'"\\ud800"'), "value", "JSON"),
        ("NUL in a text", json.dumps(json.loads(good) | {"receiver": "a\x00b"}).encode(), "receiver", "pattern"),
        ("a name twice", b'{"status":"shipped",' + good[1:], "status", "twice"),
        ("true units", with_line(units=True), "demand.lines.0.units", "valid integer"),
        ("huge units", with_line(units=10**400), "demand.lines.0.units", "less than or equal"),
        ("no units", with_line(units=0), "demand.lines.0.units", "greater than or equal"),
        ("a line too many", with_demand(lambda demand: demand.update(lines=whole_lines)), "demand.lines", "1000"),
        ("no line", with_demand(lambda demand: demand.update(lines=[])), "demand.lines", "at least 1"),
        ("a wish that nobody knows", with_demand(lambda demand: demand.update(wish="more")), "demand.wish", "nothing"),
        ("a version from nowhere", with_demand(lambda demand: demand.update(version=0)), "demand.version", "greater"),
        ("another kind of demand", with_demand(lambda demand: demand.update(id=other)), "", ""),
        ("another merchant's order", with_demand(lambda demand: demand.update(merchant="bolt")), "demand.id", "merchant"),
        ("a field too many", with_demand(lambda demand: demand.update(price=5)), "demand.price", "Unexpected"),
        ("more than a message may have", b" " * 2_000_000 + good, "value", "send at most"),
        ("as much as the broker takes", b" " * largest, "value", "send at most"),
    ]
    found = [Poison(name, value, kind("order_changed"), field, reason) for name, value, field, reason in bad]
    return found + _headers_that_mislead(good, "order_changed", "receive_stock")


def _internal(name: str, value: bytes | None, runbook: str, *, type_: Headers, envelope: bool = True) -> Poison:
    source: Headers = (("earmark_source", b"demand/0/0"), ("earmark_sequence", b"1")) if envelope else ()
    return Poison(name, value, (*type_, *source), "", runbook)


def on_internal_topics(pack: str, message: dict[str, Any]) -> list[Poison]:
    """For `earmark.reservations` or `earmark.outcomes`; `reason` is the runbook. `pack` names the type, `message` is one that is right."""
    right, newer = kind(f"{pack}.pack"), kind(f"{pack}.pack", "v2")
    good = json.dumps([message]).encode()
    unreadable = "undecodable-internal-record"
    return [
        _internal("bad JSON", b"[", unreadable, type_=right),
        _internal("a tombstone", None, unreadable, type_=right),
        _internal("another type", good, unreadable, type_=kind("order_changed")),
        _internal("true units", json.dumps([message | {"attempt": True}]).encode(), unreadable, type_=right),
        _internal("nobody wrote it", good, unreadable, type_=right, envelope=False),
        _internal("a newer version", good, "newer-schema", type_=newer),
    ]
