"""How topics are read to a fixed end: what lies behind it is left, and a beginning that is gone is dated."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from services.console.log_reading import Extent, LogReader
from shared.schemas import topics

AT = TopicPartition(topics.ORDERS.name, 0)
LEVELS = TopicPartition(topics.STOCK_LEVELS.name, 0)


def place(topic: str, partition: int, offset: int) -> dict[str, Any]:
    """Where a record lies, and when it was written: as many seconds after the epoch as its offset."""
    return {"topic": topic, "partition": partition, "offset": offset, "timestamp": 1000 * offset}


def records(at: TopicPartition, *offsets: int) -> list[Any]:
    return [SimpleNamespace(**place(at.topic, at.partition, offset)) for offset in offsets]


def reader(*at: TopicPartition, ends: int = 10) -> LogReader:
    made = LogReader(None, "nowhere", at)
    made.extents = {one: Extent(0, ends) for one in at}
    return made


def test_what_came_after_the_end_was_fixed_is_left() -> None:
    one = reader(AT)
    assert [record.offset for record in one.noted(AT, records(AT, 8, 9, 10, 11))] == [8, 9]
    assert one.noted(AT, records(AT, 12)) == []
    assert one.extents[AT].records == 2


def test_a_beginning_that_is_gone_is_where_the_first_record_lies() -> None:
    one = reader(AT)
    one.noted(AT, records(AT, 3, 4))
    one.noted(AT, records(AT, 7))
    assert one.extents[AT] == Extent(3, 10, 3, datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=3))


def test_a_compacted_topic_lacks_records_and_was_not_cut() -> None:
    one = reader(LEVELS)
    one.noted(LEVELS, records(LEVELS, 3, 4))
    assert one.extents[LEVELS] == Extent(0, 10, 2)
