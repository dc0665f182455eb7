"""A demand's state as a row and back. The JSON is written and read on the hot path: lists for what repeats, defaults left out. msgspec
writes it in 0.7 us, pydantic in 4."""

from datetime import datetime
from typing import Any

import msgspec

from services.allocator.core.demand.state import Baton, DemandState, Picking, Row, Status
from services.allocator.core.policy import TermLine, Terms
from services.allocator.store.demand_ports import DemandRow
from shared.schemas.events import Holder, Outcome, Remedy, Shortage
from shared.schemas.values import Fill, Piece, Strategy, Wish

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def to_row(state: DemandState) -> DemandRow:
    """The row to store."""
    return DemandRow(
        state.id,
        state.merchant,
        state.status._value_,  # as plain text: members are looked at twice by whoever writes them
        state.wish._value_,
        state.version,
        state.attempt,
        state.deadline_at,
        state.closed_at,
        _encode(_state(state)).decode(),
    )


def from_row(row: DemandRow) -> DemandState:
    """The state that was stored."""
    stored: dict[str, Any] = _decode(row.state)
    return DemandState(
        id=row.demand,
        merchant=row.merchant,
        terms=_read_terms(stored),
        version=row.version,
        wish=Wish(row.wish),
        status=Status(row.status),
        attempt=row.attempt,
        expiries=stored.get("expiries", 0),
        deadline_at=row.deadline_at,
        closed_at=row.closed_at,
        inherited=_read_rows(stored, "inherited"),
        waiting_at=_read_rows(stored, "waiting_at"),
        releasing={(sku, alternative): attempt for sku, alternative, attempt in stored.get("releasing", ())},
        batons=tuple(Baton((sku, alternative), number) for sku, alternative, number in stored.get("batons", ())),
        seen={(one[0], one[1]): _read_outcome(row, one) for one in stored.get("seen", ())},
        picking=Picking(stored.get("picking", Picking.NONE.value)),
        mark=stored.get("mark"),
        command=stored.get("command"),
        refusals=stored.get("refusals", {}),
        told_version=stored.get("told_version", 0),
        told=stored.get("told", ""),
        traceparent=stored.get("traceparent", ""),
    )


def _state(state: DemandState) -> dict[str, Any]:
    terms = state.terms
    made: dict[str, Any] = {
        "lines": terms.lines,
        "fill": terms.fill._value_,
        "strategy": terms.strategy._value_,
        "demanded_at": terms.demanded_at,
    }
    if terms.priority:
        made["priority"] = terms.priority
    if terms.alternative:
        made["alternative"] = terms.alternative
    if state.expiries:
        made["expiries"] = state.expiries
    if state.inherited:
        made["inherited"] = sorted(state.inherited)
    if state.waiting_at:
        made["waiting_at"] = sorted(state.waiting_at)
    if state.batons:
        made["batons"] = [(*row, number) for row, number in state.batons]
    if state.releasing:
        made["releasing"] = [(*row, attempt) for row, attempt in state.releasing.items()]
    if state.seen:
        made["seen"] = [_outcome(outcome) for outcome in state.seen.values()]
    if state.picking is not Picking.NONE or state.refusals:
        made |= {"picking": state.picking.value, "mark": state.mark, "command": state.command, "refusals": state.refusals}
    if state.told_version:
        made["told_version"], made["told"] = state.told_version, state.told
    if state.traceparent:
        made["traceparent"] = state.traceparent
    return made


def _read_terms(stored: dict[str, Any]) -> Terms:
    return Terms(
        lines=tuple(TermLine(sku, units, tuple(warehouses)) for sku, units, warehouses in stored["lines"]),
        fill=Fill(stored["fill"]),
        strategy=Strategy(stored["strategy"]),
        priority=stored.get("priority", 0),
        demanded_at=datetime.fromisoformat(stored["demanded_at"]),
        alternative=stored.get("alternative", ""),
    )


def _read_rows(stored: dict[str, Any], name: str) -> frozenset[Row]:
    return frozenset((sku, alternative) for sku, alternative in stored.get(name, ()))


def _outcome(outcome: Outcome) -> tuple[Any, ...]:
    return (
        outcome.sku,
        outcome.alternative,
        outcome.attempt,
        outcome.version,
        outcome.reserved_units,
        outcome.flagged_units,
        outcome.waiting_units,
        outcome.consumed_units,
        outcome.pending,
        outcome.mark,
        [(piece.record, piece.warehouse, piece.bin, piece.lot, piece.label, piece.units) for piece in outcome.pieces],
        None if outcome.shortage is None else _shortage(outcome.shortage),
    )


def _read_outcome(row: DemandRow, one: list[Any]) -> Outcome:
    sku, alternative, attempt, version, reserved, flagged, waiting, consumed, pending, mark, pieces, shortage = one
    return Outcome(
        demand=row.demand,
        merchant=row.merchant,
        sku=sku,
        alternative=alternative,
        attempt=attempt,
        version=version,
        reserved_units=reserved,
        flagged_units=flagged,
        waiting_units=waiting,
        consumed_units=consumed,
        pending=pending,
        mark=mark,
        pieces=tuple(
            Piece(record=record, warehouse=warehouse, bin=bin_, lot=lot, label=label, units=units)
            for record, warehouse, bin_, lot, label, units in pieces
        ),
        shortage=None if shortage is None else _read_shortage(shortage),
    )


def _shortage(shortage: Shortage) -> tuple[Any, ...]:
    return (
        shortage.missing_units,
        shortage.on_hand_units,
        shortage.held_units,
        shortage.expired_units,
        shortage.allocated_units,
        shortage.claimed_units,
        shortage.elsewhere_units,
        [(holder.demand, holder.units) for holder in shortage.holders],
        [(remedy.action, remedy.units, remedy.warehouse, remedy.demand, remedy.record) for remedy in shortage.remedies],
        shortage.exact,
        shortage.ledger_version,
    )


def _read_shortage(one: list[Any]) -> Shortage:
    missing, on_hand, held, expired, allocated, claimed, elsewhere, holders, remedies, exact, ledger_version = one
    return Shortage(
        missing_units=missing,
        on_hand_units=on_hand,
        held_units=held,
        expired_units=expired,
        allocated_units=allocated,
        claimed_units=claimed,
        elsewhere_units=elsewhere,
        holders=tuple(Holder(demand=demand, units=units) for demand, units in holders),
        remedies=tuple(
            Remedy(action=action, units=units, warehouse=warehouse, demand=demand, record=record)
            for action, units, warehouse, demand, record in remedies
        ),
        exact=exact,
        ledger_version=ledger_version,
    )
