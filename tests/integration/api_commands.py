"""What the clients of a merchant do, as Hypothesis draws it, made into commands to the product and to the naive model alike."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.integration.api_duet import Told
from tests.integration.api_of_merchant import Merchant
from tests.models.demands import Terms
from tests.models.orders import Orders
from tests.models.records import ALL_OR_NOTHING

SKUS, WAREHOUSES = ("A", "B"), ("main", "side")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOST_ORDERS = 5
picks, units = st.integers(0, 999), st.integers(1, 4)
terms = st.fixed_dictionaries(
    {
        "lines": st.dictionaries(st.sampled_from(SKUS), units, min_size=1, max_size=2),
        "fill": st.sampled_from([None, "partial", "whole_lines", "all_or_nothing"]),
        "priority": st.integers(0, 1),
        "warehouses": st.sampled_from([[], ["main"], ["side", "main"]]),
    }
)
places = st.tuples(st.sampled_from(SKUS), st.sampled_from(["main", "main", "side"]))
acts = st.one_of(
    st.tuples(st.just("create"), picks, terms),
    st.tuples(st.just("create"), picks, terms),
    st.tuples(st.sampled_from(["edit", "create again"]), picks, terms),
    st.tuples(st.sampled_from(["cancel", "allocate", "deallocate", "dropship", "stop-processing"]), picks, st.none()),
    st.tuples(st.sampled_from(["start-processing", "ship"]), picks, st.none()),
    st.tuples(st.just("receive"), picks, st.tuples(places, units)),
    st.tuples(st.just("adjust"), picks, st.tuples(places, st.sampled_from([-4, -3, -2, -1, 1, 2]))),
    st.tuples(st.sampled_from(["once more", "with another body"]), picks, st.none()),
)


class Commands:
    """`sent`: every command that was accepted, with its key, to be sent once more."""

    def __init__(self, merchant: Merchant) -> None:
        self.merchant = merchant
        self.sent: list[tuple[str, str, Any, str]] = []
        self.made = 0

    def of(self, model: Orders, act: Any, at: int) -> list[Told]:
        """The command that a client, at this process of orders, gives; none where there is nothing to do it to."""
        kind, pick, given = act
        if kind == "create" and len(model.orders) < MOST_ORDERS:
            number = f"SO-{len(model.orders) + 1}" + (f"-{at}" if pick % 3 else "")
            return [self._create(number, self._body(given, allocate=pick % 4 > 0), at)]
        if kind in ("receive", "adjust"):
            return [self.receive(*given) if kind == "receive" else self._adjust(*given)]
        if kind in ("once more", "with another body"):
            return [self._repeat(pick, at, same=kind == "once more")] if self.sent else []
        if not model.orders:
            return []
        number = list(model.orders)[pick % len(model.orders)]
        if kind == "create again":
            return [self._create(number, self._body(given) if pick % 2 else model.orders[number].body, at)]
        if kind in ("edit", "create"):
            return [self._edit(model, number, given, at)]
        fitting = [one.number for one in model.orders.values() if not model.refusal(one, kind)]
        number = fitting[pick % len(fitting)] if fitting and pick % 5 else number
        return [self._act(number, kind, at)]

    def _body(self, given: Any, *, allocate: bool = True) -> dict[str, Any]:
        self.made += 1
        return _as_body(given) | {"demanded_at": (NOON + timedelta(seconds=self.made)).isoformat(), "allocate": allocate}

    def _create(self, number: str, body: dict[str, Any], at: int) -> Told:
        wanted, allocate = _terms(body, datetime.fromisoformat(body["demanded_at"])), body["allocate"]
        sends = self._sends("POST", "/orders", {"number": number} | body, at)
        return Told(sends, lambda model: model.create(number, body, wanted, allocate=allocate))

    def _edit(self, model: Orders, number: str, given: Any, at: int) -> Told:
        present = model.orders[number].terms
        body = _as_body(_of_its_kind(present, given))
        wanted = _terms(body, present.demanded_at)
        return Told(self._sends("PATCH", f"/orders/{number}", body, at), lambda model: model.edit(number, wanted))

    def _act(self, number: str, action: str, at: int) -> Told:
        reason = f"because of {at}" if action == "cancel" else None
        sends = self._sends("POST", f"/orders/{number}/{action}", {"reason": reason} if reason else None, at)
        return Told(sends, lambda model: model.act(number, action, reason))

    def _repeat(self, pick: int, at: int, *, same: bool) -> Told:
        """A command that was accepted, under its key: as it was, which does nothing and is answered as then; otherwise it is refused."""
        method, path, body, key = self.sent[pick % len(self.sent)]
        other = {"priority": 77} if body and "lines" in body else {"reason": "another"}
        changed = body if same else {**(body or {}), **other}
        return Told(lambda: self.merchant.order(method, path, changed, key=key, at=at), lambda _: 200 if same else 422)

    def _sends(self, method: str, path: str, body: Any, at: int) -> Callable[[], Any]:
        self.made += 1
        key = f"command-{self.made}"

        async def send() -> Any:
            status, answer = await self.merchant.order(method, path, body, key=key, at=at)
            if status < 300:
                self.sent.append((method, path, body, key))
            return status, answer

        return send

    def receive(self, place: tuple[str, str], count: int) -> Told:
        """Goods arrive."""
        sku, warehouse = place
        body = {"sku": sku, "warehouse": warehouse, "bin": "A-1", "units": count}
        command = self._command()
        return Told(lambda: self.merchant.stock("/receipts", body), lambda model: model.receive(command, sku, warehouse, count))

    def _adjust(self, place: tuple[str, str], change: int) -> Told:
        sku, warehouse = place
        body = {"sku": sku, "warehouse": warehouse, "bin": "A-1", "change": change, "reason": "CORRECTION"}
        command = self._command()

        async def send() -> Any:
            status, answer = await self.merchant.stock("/adjustments", body)
            return (409 if answer.get("status") == "refused" else status), answer

        return Told(send, lambda model: model.adjust(command, sku, warehouse, change))

    def _command(self) -> str:
        self.made += 1
        return f"command-{self.made}"


def _of_its_kind(present: Terms, given: Any) -> Any:
    """An edit that leaves all or nothing as it is, and its warehouse: where that changes, an order begins anew, and others come between."""
    if present.fill == ALL_OR_NOTHING:
        return given | {"fill": ALL_OR_NOTHING, "warehouses": present.warehouses}
    return given | {"fill": None if given["fill"] == ALL_OR_NOTHING else given["fill"]}


def _as_body(given: dict[str, Any]) -> dict[str, Any]:
    return given | {"lines": [{"sku": sku, "units": units} for sku, units in given["lines"].items()]}


def _terms(body: dict[str, Any], demanded_at: datetime) -> Terms:
    lines = tuple((line["sku"], line["units"]) for line in body["lines"])
    return Terms(lines, body["fill"] or "partial", tuple(body["warehouses"]) or ("main",), body["priority"], demanded_at)
