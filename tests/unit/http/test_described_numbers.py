"""Every whole number that the HTTP takes has described limits: what is too large for a column is refused, and is no fault of ours."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.allocator.api.routes import read_only_api
from services.inventory import app as inventory
from services.orders import app as orders
from shared.settings import Settings
from tests.support.http_service import KAFKA_AWAY, settings_for

NOWHERE = "postgresql://nobody@127.0.0.1:1/earmark"
LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("made", [orders.application, inventory.application, read_only_api], ids=["orders", "inventory", "allocator"])
def test_every_number_that_is_taken_fits_its_column(made: Callable[[Settings], Any]) -> None:
    described = made(settings_for(NOWHERE, KAFKA_AWAY)).openapi()
    taken = [
        (f"{method.upper()} {path}", number)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for part in (operation.get("parameters", []), operation.get("requestBody", {}))
        for number in _numbers(part, described["components"]["schemas"])
    ]
    assert len(taken) >= 3
    assert not [(where, number) for where, number in taken if not _fits(number)]


def _numbers(part: Any, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of whole numbers in a part of the description, and in what it refers to."""
    if isinstance(part, list):
        for one in part:
            yield from _numbers(one, schemas)
    elif isinstance(part, dict):
        if part.get("type") == "integer":
            yield part
        if isinstance(reference := part.get("$ref"), str):
            yield from _numbers(schemas[reference.rpartition("/")[2]], schemas)
        for one in part.values():
            yield from _numbers(one, schemas)


def _fits(number: dict[str, Any]) -> bool:
    return "const" in number or (number.get("minimum", LEAST - 1) >= LEAST and number.get("maximum", MOST + 1) <= MOST)
