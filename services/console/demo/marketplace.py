"""Another sales channel, which speaks Kafka: it writes orders on `earmark.order-intake` with FastStream, as code of its own might."""

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from pydantic import ValidationError

from services.console.demo.order_lines import ShopOrder
from services.console.demo.plan import ANNEX, MAIN, MERCHANT, ships_whole
from services.console.demo.shop import DemoError
from shared.schemas.intake import OrderIntake
from shared.schemas.topics import ORDER_INTAKE
from shared.schemas.values import Fill, Line
from shared.schemas.wire import ADAPTERS, SCHEMA

CHANNEL = "marketplace"
_INTAKE = ADAPTERS["order_intake"]
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
_HEADERS = {"ce_type": f"earmark.order_intake.{SCHEMA}", "ce_source": f"/{CHANNEL}", "ce_specversion": "1.0"}


class Marketplace:
    """Use it as an async context manager."""

    def __init__(self, bootstrap: str) -> None:
        self._broker = KafkaBroker(bootstrap, acks="all", enable_idempotence=True, client_id=CHANNEL, logger=None)
        self._orders = self._broker.publisher(ORDER_INTAKE.name, headers=_HEADERS, title=CHANNEL)
        self.sent = 0

    async def __aenter__(self) -> Self:
        await self._broker.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._broker.stop()

    @staticmethod
    def takes(order: ShopOrder) -> bool:
        """It sells what goes abroad in one parcel; what it could not even write down is left to the shop, which is told why."""
        if not ships_whole(order):
            return False
        try:
            _INTAKE.validate_json(_written(order, _ANY_TIME))
        except ValidationError:
            return False
        return True

    async def order(self, order: ShopOrder, demanded_at: datetime) -> None:
        """Write one order; returns when Kafka has it. Raises DemoError."""
        try:
            await self._orders.publish(_written(order, demanded_at), key=order.number.encode(), headers={"ce_id": order.number})
        except KafkaError as error:
            raise DemoError(f"the marketplace could not write order {order.number} ({error}): run the demo again") from error
        self.sent += 1


def _written(order: ShopOrder, demanded_at: datetime) -> bytes:
    return _INTAKE.dump_json(
        OrderIntake(
            merchant=MERCHANT,
            number=order.number,
            version=1,
            lines=tuple(Line(sku=sku, units=units) for sku, units in order.lines.items()),
            demanded_at=demanded_at,
            fill=Fill.ALL_OR_NOTHING,
            warehouses=(MAIN, ANNEX),
            channel=CHANNEL,
            country=order.country,
            receiver=f"Customer {order.customer}" if order.customer else "",
        ),
        exclude_none=True,
    )
