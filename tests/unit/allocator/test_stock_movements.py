"""The history of a stock record: what came, what went, and what reservations gave back there."""

import pytest

from services.allocator.core.stock.rows import MovementRow
from tests.unit.allocator.stock_script import Script, demand


def history(*commands: str, record: int = 1) -> list[str]:
    """What a story leaves in the history of a stock record, oldest first: kind, change or units released, and who."""
    script = Script()
    for command in commands:
        script.sends(command)
    rows: list[MovementRow] = [row for row in script.partition.rows("movement") if row.record == record]
    for row in rows:
        assert row.on_hand_after == row.on_hand_before + row.change, row
        assert (row.kind == "release") == (row.released_units > 0), row
        assert row.released_units == 0 or row.change == 0, row
    return [_told(row) for row in sorted(rows, key=lambda row: row.record_version)]


def _told(row: MovementRow) -> str:
    if row.kind == "release":
        assert row.cause == demand(row.cause.rpartition("/")[2]), row
        return f"release {row.released_units} {row.cause.rpartition('/')[2]}"
    return f"{row.kind} {row.change:+}"


@pytest.mark.accept("000-39")
@pytest.mark.parametrize(
    ("commands", "told"),
    [
        pytest.param(("line o1 4", "release o1"), ["release 4 o1"], id="canceled"),
        pytest.param(("line o1 4", "line o1 1"), ["release 3 o1"], id="fewer wanted"),
        pytest.param(("line o1 4", "line o1 6"), [], id="more wanted"),
        pytest.param(("line o1 4", "reduce o1 2"), ["release 2 o1"], id="reduced"),
        pytest.param(("line o1 4", "line o2 5", "release o2", "release o1"), ["release 5 o2", "release 4 o1"], id="one after the other"),
        pytest.param(("line o1 4", "release o1", "line o1 4", "release o1"), ["release 4 o1", "release 4 o1"], id="twice"),
        pytest.param(("line o1 4", "release o1", "release o1"), ["release 4 o1"], id="the second release finds nothing"),
        pytest.param(("line o1 4", "pick o1", "consume o1"), ["consume -4"], id="consumed, not released"),
        pytest.param(("line o1 8", "adjust W -5", "release o1"), ["adjust -5", "release 8 o1"], id="flagged units, too"),
        pytest.param(("line o1 4", "line o1 4 wh=V"), ["release 4 o1"], id="from another warehouse from now on"),
    ],
)
def test_the_history_of_a_record_tells_increases_decreases_and_releases(commands: tuple[str, ...], told: list[str]) -> None:
    assert history("receive W 10", *commands) == ["receive +10", *told]


@pytest.mark.accept("000-39")
def test_every_record_has_its_own_history() -> None:
    story = ("receive W 2 bin=B1", "receive W 8 bin=B2", "line o1 5", "release o1")
    assert history(*story, record=1) == ["receive +2", "release 2 o1"]
    assert history(*story, record=2) == ["receive +8", "release 3 o1"]


def test_what_a_chain_took_in_vain_is_told_as_well() -> None:
    assert history("receive W 3", "chain o1 3 then=B", "release o1") == ["receive +3", "release 3 o1"]


def test_no_two_movements_have_one_ledger_version() -> None:
    script = Script()
    script.sends("receive W 2 bin=B1", "receive W 2 bin=B2", "receive W 2 bin=B3", "line o1 6", "line o2 1")
    script.sends("release o1")
    versions = [row.ledger_version for row in script.partition.rows("movement")]
    assert len(versions) == 6
    assert len(set(versions)) == 6
