"""The orders service on a real Postgres, its Kafka away: the allocator's answers are handed to its feed as the records it would read."""

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import text

from services.orders.api.parts import Parts
from services.orders.app import application
from shared.http import Ledger, Platform
from shared.partitions.model import InputRecord
from shared.relay.outbox import records_of
from shared.schemas.events import AllocatedLine, AllocationChanged, OrderChanged
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import ALLOCATIONS, ORDER_INTAKE, ORDERS
from shared.schemas.wire import Envelope, decode, encode, header_map
from tests.support.http_service import KAFKA_AWAY, Service, running_app, settings_for

_TOLD = {"order_changed", "allocation_run_changed"}
_keys = itertools.count(1)
_offsets = itertools.count(0)


@dataclass
class Orders:
    """The running service, and what stands in for the allocator."""

    service: Service
    said: dict[str, int] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        return self.service.platform

    @property
    def parts(self) -> Parts:
        parts: Parts = self.service.app.state.parts
        return parts

    async def post(self, path: str, body: Any = None, *, key: str | None = None, by: str = "acme", **headers: str) -> httpx.Response:
        """A command with a new Idempotency-Key, unless one is named."""
        return await self.command("POST", path, body, key=key, by=by, **headers)

    async def command(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, by: str = "acme", **headers: str
    ) -> httpx.Response:
        """A command of any method. Underscores in the names of headers stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client: httpx.AsyncClient = getattr(self.service, by)
        sent = {"Idempotency-Key": key or f"key-{next(_keys)}", "Content-Type": "application/json", **named}
        return await client.request(method, path, content=None if body is None else json.dumps(body), headers=sent)

    async def get(self, path: str, *, by: str = "acme", **query: Any) -> Any:
        """The JSON of a query that must succeed."""
        client: httpx.AsyncClient = getattr(self.service, by)
        answer = await client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def letters(self, **query: Any) -> list[dict[str, Any]]:
        """The dead letters of the first page."""
        items: list[dict[str, Any]] = (await self.get("/dead-letters", **query))["items"]
        return items

    async def made(self, number: str, units: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
        """Make an order; its receipt."""
        answer = await self.post("/orders", {"number": number, "lines": lines(units or {"CUP": 2}), **more})
        assert answer.status_code in {200, 202}, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    async def events(self) -> list[OrderChanged]:
        """The orders that wait to be published on earmark.orders, in order."""
        return [event for event in await self.told() if isinstance(event, OrderChanged)]

    async def told(self) -> list[Any]:
        """Everything that waits to be published on earmark.orders, in order."""
        sql = text("SELECT id, headers::text, record_count, records FROM orders.outbox WHERE topic = :topic ORDER BY id")
        async with self.platform.reading() as connection:
            rows = (await connection.execute(sql, {"topic": ORDERS.name})).all()
        records = [record for row in rows for record in records_of("orders", *row)]
        return [decode(record.value, header_map(record.headers), _TOLD)[0] for record in records]

    async def last_event(self, number: str) -> OrderChanged:
        """The newest event of one order."""
        return [event for event in await self.events() if event.number == number][-1]

    async def answer(self, number: str, outcome: str, **more: Any) -> None:
        """Let the allocator answer the newest version of an order."""
        await self.hand_over([await self.answer_of(number, outcome, **more)])

    async def answer_of(self, number: str, outcome: str, **more: Any) -> AllocationChanged:
        """What the allocator would say of the newest version of an order."""
        demand = (await self.last_event(number)).demand
        self.said[number] = self.said.get(number, 0) + 1
        held = outcome in {"allocated", "overallocated"}
        told = tuple(
            AllocatedLine(
                sku=line.sku,
                wanted_units=line.units,
                reserved_units=line.units if held else 0,
                flagged_units=line.units if outcome == "overallocated" else 0,
                waiting_units=line.units if outcome == "could_not_allocate" else 0,
                consumed_units=line.units if outcome == "consumed" else 0,
            )
            for line in demand.lines
        )
        given: dict[str, Any] = {
            "version": self.said[number],
            "demand_version": demand.version,
            "lines": told,
            "attempt": 1,
            "decided_at": now(),
            **more,
        }
        return AllocationChanged(**{"demand": demand.id, "merchant": demand.merchant, "outcome": outcome, **given})

    async def hand_over(self, answers: Iterable[AllocationChanged]) -> None:
        """Give answers to the projection as one batch of records."""
        await self.parts.feeds.answers.handle([record_of(answer, ALLOCATIONS.name) for answer in answers])

    async def take_in(self, *messages: OrderIntake | InputRecord) -> None:
        """Give messages of channels to the intake as one batch of records."""
        records = [message if isinstance(message, InputRecord) else record_of(message, ORDER_INTAKE.name) for message in messages]
        await self.parts.feeds.intake.handle(records)


@asynccontextmanager
async def orders_service(dsn: str, kafka: str = KAFKA_AWAY, ledger: Ledger | None = None, **more: Any) -> AsyncIterator[Orders]:
    """The service, running."""
    app = application(settings_for(dsn, kafka, **more), ledger)
    async with running_app(app, app.state.platform) as service:
        yield Orders(service)


def lines(units: dict[str, int]) -> list[dict[str, Any]]:
    """Lines as a request has them."""
    return [{"sku": sku, "units": count} for sku, count in units.items()]


def record_of(message: Any, topic: str) -> InputRecord:
    """A record as it is read from Kafka."""
    key = message.demand if isinstance(message, AllocationChanged) else message.number
    record = encode(message, key=key, envelope=Envelope("test", next(_offsets) + 1), time=now())
    return raw_record(record.value, topic, record.headers)


def raw_record(value: bytes | None, topic: str = ORDER_INTAKE.name, headers: Iterable[tuple[str, bytes]] = ()) -> InputRecord:
    """Any bytes as a record; without headers it says that it is an order of a channel."""
    named = tuple(headers) or (("ce_type", b"earmark.order_intake.v1"),)
    return InputRecord(topic, 0, next(_offsets), 1_700_000_000_000, b"key", value, named)


def now() -> datetime:
    """The present time."""
    return datetime.now(UTC)
