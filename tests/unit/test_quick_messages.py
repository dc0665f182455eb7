"""Messages made on the hot path are the messages."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from shared.schemas.events import Outcome
from shared.schemas.quick import quick

GIVEN: dict[str, Any] = {"demand": "sales-order/acme/1", "merchant": "acme", "sku": "A", "attempt": 1, "version": 2}


def test_a_quick_message_is_the_message() -> None:
    made = quick(Outcome)(**GIVEN, reserved_units=3)
    assert type(made) is Outcome
    assert made == Outcome(**GIVEN, reserved_units=3)
    assert hash(made) == hash(Outcome(**GIVEN, reserved_units=3))


def test_a_quick_message_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        quick(Outcome)(**GIVEN).version = 3  # type: ignore[misc]  # that it can not be set is the point


@pytest.mark.parametrize("wrong", [{"nonsense": 1}, {}])
def test_a_quick_message_refuses_what_the_message_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        quick(Outcome)(demand="sales-order/acme/1", **wrong)
