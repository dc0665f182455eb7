"""What taking a batch of records means, whichever topic they come from."""

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.orders.core.model import Order
from services.orders.store.allocations import Overtaken
from services.orders.store.dead_letters import Condemned
from services.orders.store.saving import number_is_taken
from shared.partitions.model import DeadLetter, InputRecord
from shared.relay import Outbox
from shared.schemas.values import Merchant
from shared.schemas.wire import BadRecord

_MERCHANT: TypeAdapter[str] = TypeAdapter(Merchant)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch: records that were not taken, demands whose order was answered, bulk runs that went on, and orders made."""

    condemned: Sequence[Condemned]
    decided: Sequence[str] = ()
    runs: Sequence[str] = ()
    made: Sequence[Order] = ()


class LookFirst(Exception):
    """An order that was taken for new is refused, and may be there. Roll back, and take the batch again with `look`."""


class Take(Protocol):
    """Take a batch. `look`: whether an order is there is looked up; without that what is most likely is taken for granted, and an
    exception of which `is_to_be_taken_again` tells says where it was not so."""

    def __call__(
        self, connection: AsyncConnection, outbox: Outbox, records: Sequence[InputRecord], now: datetime, *, look: bool
    ) -> Awaitable[Taken]: ...


def is_to_be_taken_again(error: BaseException) -> bool:
    """Whether a batch failed by what somebody else did before it or at the same moment."""
    return number_is_taken(error) or isinstance(error, Overtaken | LookFirst)


def condemned(record: InputRecord, reason: str, field: str) -> Condemned:
    """A record that can not be taken, with what is known of whose it is: that decides who may see the dead letter."""
    return Condemned(DeadLetter(record, reason, field), _merchant_in(record.value))


def unreadable(record: InputRecord, bad: BadRecord) -> Condemned:
    """A record that can not be read."""
    return condemned(record, bad.reason, bad.field)


def _merchant_in(value: bytes | None) -> str | None:
    """The merchant that an unreadable record names, if that much can be read."""
    try:
        found = json.loads(value or b"")
        return _MERCHANT.validate_python(found["merchant"]) if isinstance(found, dict) and "merchant" in found else None
    except (ValueError, RecursionError, ValidationError):
        return None
