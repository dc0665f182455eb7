"""Properties of the demand core: outcomes of different SKUs may come in any order and cut, repeats do no harm, memory is not needed."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.allocator.demand_side import DemandSide
from services.allocator.store.demand_memory import MemoryDemandStorage
from shared.partitions.memory import MemoryDatabase, MemoryTransaction
from shared.partitions.model import PartitionId, Send
from shared.schemas.events import AllocationChanged, DemandEvent, Outcome
from shared.schemas.values import Wish
from tests.unit.allocator.demand_script import DEMAND, NOON, SETTINGS, Demands, want

Draw = Callable[[st.SearchStrategy[Any]], Any]
"""Of a composite strategy and of `st.data()` alike."""
SKUS = ("A", "B", "C")
WANTED = 5
PHASES = ("stock", "picking", "consumption")


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[Outcome]]:
    """For every SKU what its partition reports, in order, of attempt 1."""
    return {sku: _history(draw, sku) for sku in SKUS}


def _history(draw: Draw, sku: str) -> list[Outcome]:
    outcomes = []
    for version in range(1, draw(st.integers(1, 4)) + 1):
        reserved = draw(st.integers(0, WANTED))
        flagged = draw(st.integers(0, reserved))
        mark = draw(st.sampled_from([None, 2]))
        note = draw(st.sampled_from([None, None, "picking_refused", "consumption_refused"])) if version > 1 else None
        about = {"picking_refused": 2, "consumption_refused": 3}.get(note or "")
        outcomes.append(
            Outcome(
                demand=DEMAND,
                merchant="acme",
                sku=sku,
                attempt=1,
                version=version,
                reserved_units=reserved,
                flagged_units=flagged,
                waiting_units=WANTED - reserved,
                mark=mark,
                note=note,
                about=about,
            )
        )
    return outcomes


def _shuffled(draw: Draw, history: dict[str, list[Outcome]]) -> list[Outcome]:
    """Any merge that keeps each SKU's own order."""
    turns = draw(st.permutations([sku for sku, outcomes in history.items() for _ in outcomes]))
    left = {sku: iter(outcomes) for sku, outcomes in history.items()}
    return [next(left[sku]) for sku in turns]


def _cut(draw: Draw, messages: Sequence[DemandEvent]) -> list[list[DemandEvent]]:
    """The messages in batches; some of them once more in a later one, as nobody promises that they come only once."""
    batches: list[list[DemandEvent]] = [[]]
    seen: list[DemandEvent] = []
    for message in messages:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(message)
        seen.append(message)
        if draw(st.integers(0, 3)) == 0:
            batches[-1].append(draw(st.sampled_from(seen)))
    return batches


LINES = [f"{sku}={WANTED}" for sku in SKUS]


def _view(told: AllocationChanged) -> tuple[Any, ...]:
    return told.demand_version, told.outcome, told.picking, told.lines


@given(data=st.data(), history=histories())
@settings(max_examples=200, deadline=None)
def test_outcomes_of_different_skus_in_any_order_converge_to_the_same_answer(
    data: st.DataObject, history: dict[str, list[Outcome]]
) -> None:
    straight, shuffled = Demands(), Demands()
    for demands in (straight, shuffled):
        demands.fold([want(1, Wish.STOCK, LINES)])
    in_order = [outcome for outcomes in history.values() for outcome in outcomes]
    straight.fold(list(in_order))
    for batch in _cut(data.draw, _shuffled(data.draw, history)):
        shuffled.fold(batch)
    assert _view(straight.told()) == _view(shuffled.told())


@given(data=st.data(), history=histories())
@settings(max_examples=200, deadline=None)
def test_events_of_a_demand_are_numbered_without_gaps_and_never_say_the_same_twice(
    data: st.DataObject, history: dict[str, list[Outcome]]
) -> None:
    demands = Demands()
    wishes: list[DemandEvent] = [want(version, wish, LINES) for version, wish in ((2, Wish.PICKING), (3, Wish.CONSUMPTION))]
    demands.fold([want(1, Wish.STOCK, LINES)])
    messages: list[DemandEvent] = list(_shuffled(data.draw, history))
    for wish in wishes:
        messages.insert(data.draw(st.integers(0, len(messages))), wish)
    for batch in _cut(data.draw, messages):
        demands.fold(batch)
    told = [send for send in demands.sends if isinstance(send, AllocationChanged)]
    assert [event.version for event in told] == list(range(1, len(told) + 1))
    for before, after in pairwise(told):
        assert (_view(before), before.refusal) != (_view(after), after.refusal)


@given(data=st.data(), history=histories())
@settings(max_examples=100, deadline=None)
async def test_what_is_sent_does_not_depend_on_what_was_in_memory(data: st.DataObject, history: dict[str, list[Outcome]]) -> None:
    messages: list[DemandEvent] = [want(1, Wish.STOCK, LINES), *_shuffled(data.draw, history)]
    for version, wish in ((2, Wish.PICKING), (3, Wish.CLOSED)):
        messages.insert(data.draw(st.integers(1, len(messages))), want(version, wish, LINES))
    batches = _cut(data.draw, messages)
    resumed = data.draw(st.lists(st.booleans(), min_size=len(batches), max_size=len(batches)))
    assert await _sends(batches, [False] * len(batches)) == await _sends(batches, resumed)


async def _sends(batches: Sequence[Sequence[DemandEvent]], resumed: Sequence[bool]) -> list[list[Send]]:
    """The sends of every batch, by a side that forgets all its memory where `resumed` says so."""
    database = MemoryDatabase(clock=lambda: NOON)
    transaction = MemoryTransaction(database)
    side = DemandSide(MemoryDemandStorage(lambda: transaction), SETTINGS)
    await side.resume(PartitionId("demand", 0))
    sends = []
    for batch, forget in zip(batches, resumed, strict=True):
        if forget:
            await side.resume(PartitionId("demand", 0))
        sends.append(await side.decide(batch, NOON))
        await side.save()
    return sends
