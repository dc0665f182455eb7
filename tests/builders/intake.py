"""Orders as a sales channel sends them."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.schemas.intake import OrderIntake
from shared.schemas.values import Line
from shared.schemas.wire import ADAPTERS

DAY = datetime.now(UTC).replace(microsecond=0)


def intake(number: str, version: int, units: int = 1, **more: Any) -> OrderIntake:
    """An order as its channel knows it."""
    given = {"lines": (Line(sku="CUP", units=units),), "demanded_at": DAY, "channel": "bus", **more}
    return OrderIntake(merchant="acme", number=number, version=version, **given)


def broken(**more: Any) -> bytes:
    """The JSON of an intake message with something changed."""
    message = ADAPTERS["order_intake"].dump_python(intake("A-9", 1), mode="json")
    return json.dumps(message | more).encode()
