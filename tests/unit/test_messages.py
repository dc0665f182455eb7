"""Messages are values: they say of which kind they are, stay as they are, and leave out what their schema says anyway."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from shared.schemas.commands import ChainStop, ReserveChain, ReserveLine
from shared.schemas.events import AllocationRunChanged, Outcome
from shared.schemas.message import kind_of
from shared.schemas.values import Line, Piece
from shared.schemas.wire import value_of

GIVEN: dict[str, Any] = {"demand": "sales-order/acme/1", "merchant": "acme", "sku": "A", "attempt": 1, "version": 2}
PIECE = Piece(record=1, warehouse="main", bin="A-1", units=3)


def test_a_message_is_of_the_kind_that_its_class_is_called() -> None:
    assert [kind_of(one) for one in (ReserveLine, Outcome, AllocationRunChanged)] == ["reserve_line", "outcome", "allocation_run_changed"]
    assert Outcome(**GIVEN).type == "outcome"


def test_a_message_stays_as_it_is_and_another_differs_where_told() -> None:
    made = Outcome(**GIVEN)
    with pytest.raises(AttributeError):
        made.version = 3  # type: ignore[misc]  # that it can not be set is the point
    assert made.but(version=3) == Outcome(**GIVEN | {"version": 3})
    assert hash(made) == hash(Outcome(**GIVEN))
    assert made.version == 2


@pytest.mark.parametrize("wrong", [{"nonsense": 1}, {}])
def test_a_message_is_made_of_its_fields_and_no_others(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Outcome(demand="sales-order/acme/1", **wrong)


def test_what_is_as_its_schema_says_is_not_written() -> None:
    written = json.loads(value_of(Outcome(**GIVEN, reserved_units=3, pieces=(PIECE,))))
    assert written == {
        "type": "outcome",
        **GIVEN,
        "reserved_units": 3,
        "pieces": [{"record": 1, "warehouse": "main", "bin": "A-1", "units": 3}],
    }


def test_pydantic_reads_and_writes_a_part_as_it_would_a_dataclass() -> None:
    lines = TypeAdapter(tuple[Line, ...])
    assert lines.validate_json('[{"sku": "A", "units": 3}]') == (Line(sku="A", units=3),)
    assert lines.dump_python((Line(sku="A", units=3, warehouses=("main",)),)) == ({"sku": "A", "units": 3, "warehouses": ("main",)},)


def test_a_rule_between_fields_holds_however_a_message_is_made() -> None:
    with pytest.raises(ValueError, match="beyond the stops"):
        ReserveChain(
            demand="sales-order/acme/1",
            merchant="acme",
            alternative="main",
            attempt=1,
            stop=1,
            stops=(ChainStop(sku="A", units=1),),
            priority=0,
            demanded_at="2026-11-21T12:00:00Z",  # type: ignore[arg-type]  # what is judged first
        )
