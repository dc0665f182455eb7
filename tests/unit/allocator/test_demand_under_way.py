"""Which demands stand on pages, which have rows, and which pages are over."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.allocator.core.demand.state import DemandState, Status
from services.allocator.core.policy import TermLine, Terms
from services.allocator.demand_under_way import PAGES, UnderWay, Writes
from services.allocator.store.demand_encoding import to_row
from services.allocator.store.demand_ports import Page, Waiting, newest, not_outdated
from shared.schemas.values import Fill, Strategy

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def demand(number: int, lines: int = 1) -> DemandState:
    terms = Terms(tuple(TermLine(f"S{line}", 1, ("w",)) for line in range(lines)), Fill.PARTIAL, Strategy.FEFO, 0, NOON)
    return DemandState(str(number), "acme", terms, version=1, status=Status.LINES, attempt=1)


def nothing_stored(budget: int = 1_000) -> UnderWay:
    return UnderWay(budget, (), ())


def stored(*numbers: int) -> list[Page]:
    return [Page(number, [to_row(demand(99))]) for number in numbers]


def written(writes: Writes) -> str:
    """`page 2: 1 3` where one is turned; who gets a new row; whose row changes; the pages that are over."""
    waiting, new, old = (" ".join(state.id for state in states) for states in (writes.waiting, writes.new, writes.old))
    page = f"page {writes.page}: {waiting}".strip() if writes.turned else ""
    told = (page, f"new {new}" if new else "", f"old {old}" if old else "", f"over {writes.over}" if writes.over else "")
    return ", ".join(filter(None, told))


def test_who_waits_stands_on_a_page_who_rests_has_a_row() -> None:
    under_way = nothing_stored()
    one, two = demand(1), demand(2)
    assert written(under_way.settle([one, two], {"1", "2"}, {"1", "2"})) == "page 1: 1 2"
    assert under_way.get("1") is one
    assert written(under_way.settle([one, two], (), {"2"})) == "page 2: 2, new 1, over [1]"
    assert under_way.get("1") is None
    assert written(under_way.settle([one], (), {"1"})) == "page 3: 1"
    assert written(under_way.settle([two], (), ())) == "new 2, over [2]"
    assert written(under_way.settle([two], (), ())) == "old 2"


def test_the_newest_page_is_left_blank_so_that_its_number_is_not_given_again() -> None:
    under_way = nothing_stored()
    under_way.settle([demand(1)], {"1"}, {"1"})
    last = under_way.settle([demand(1)], (), ())
    assert (written(last), last.page) == ("page 1:, new 1", 1)
    assert written(under_way.settle([demand(1)], (), ())) == "old 1"
    for left in (stored(1), [Page(1, [])]):
        assert written(UnderWay(10, left, ()).settle([demand(2)], {"2"}, {"2"})) == "page 2: 2, over [1]"
    assert written(UnderWay(10, stored(1), ()).settle([demand(2)], (), ())) == "page 1:, old 2"
    assert written(UnderWay(10, [Page(1, [])], ()).settle([demand(2)], (), ())) == "old 2"


def test_beyond_the_budget_a_waiting_demand_gets_its_row_and_leaves_room_when_it_is_answered() -> None:
    under_way = nothing_stored(budget=5)
    large, small = demand(1, lines=4), demand(2, lines=2)
    assert written(under_way.settle([large, small], {"1", "2"}, {"1", "2"})) == "page 1: 1, new 2"
    large.terms = demand(1, lines=1).terms  # an edit while it waits
    assert written(under_way.settle([large], (), {"1"})) == "page 2: 1, over [1]"
    assert written(under_way.settle([demand(3, lines=4)], {"3"}, {"3"})) == "page 3: 3"
    assert written(under_way.settle([small], (), {"2"})) == "old 2"


def test_who_waits_for_long_keeps_no_page() -> None:
    under_way = nothing_stored()
    with_row, without = demand(1), demand(2)
    under_way.settle([with_row, without], {"2"}, {"1", "2"})
    for number in range(3, PAGES + 2):
        under_way.settle([demand(number)], {str(number)}, {str(number)})
    last = under_way.settle([demand(PAGES + 2)], {str(PAGES + 2)}, {str(PAGES + 2)})
    assert written(last) == f"page {PAGES + 1}: {PAGES + 2}, new 2, old 1, over [1]"
    assert under_way.get("1") is None


@given(st.lists(st.dictionaries(st.integers(1, 6), st.booleans(), min_size=1, max_size=4), max_size=30), st.sampled_from([0, 3, 100]))
def test_whoever_takes_over_finds_the_newest_state_of_every_demand(batches: list[dict[int, bool]], budget: int) -> None:
    """Batches of (demand, whether it waits); its version counts its changes."""
    under_way, pages, rows = nothing_stored(budget), dict[int, Page](), dict[str, tuple[int, int]]()
    states: dict[str, DemandState] = {}
    for batch in batches:
        unknown = {str(number) for number in batch} - states.keys()
        changed = [states.setdefault(str(number), demand(number)) for number in batch]
        for state in changed:
            state.version += 1
        writes = under_way.settle(changed, unknown, {str(number) for number, waits in batch.items() if waits})
        for over in writes.over:
            del pages[over]
        if writes.turned:
            assert writes.page not in pages or not writes.waiting
            pages[writes.page] = Page(writes.page, [to_row(state) for state in writes.waiting])
        for state in writes.new + writes.old:
            assert (state.id in rows) == (state in writes.old)
            rows[state.id] = writes.page, state.version

        found = newest(pages[number] for number in sorted(pages))
        waiting = not_outdated(found, {name: page for name, (page, _) in rows.items()})
        assert {name: version for name, (_, version) in rows.items()} | {one.row.demand: one.row.version for one in waiting} == {
            name: state.version for name, state in states.items()
        }
        assert all(one.has_row == (one.row.demand in rows) for one in waiting)
        successor = UnderWay(budget, [pages[number] for number in sorted(pages)], waiting)
        assert waiting or not any(page.rows for page in pages.values()), "at rest nothing is left on a page"
        assert {state.id for state in successor.states()} == {state.id for state in under_way.states()}


def test_a_successor_goes_on_where_the_last_owner_was() -> None:
    under_way = UnderWay(10, stored(4, 7), [Waiting(4, True, to_row(demand(1))), Waiting(7, False, to_row(demand(2)))])
    assert written(under_way.settle([demand(1), demand(2)], (), {"2"})) == "page 8: 2, old 1, over [4, 7]"
