"""Topics as a reader sees them who drops repeats."""

from collections.abc import Iterator, Sequence

from shared.partitions.model import InputRecord
from shared.schemas.topics import BY_NAME
from tests.simulation.kafka import Log


class Reader:
    """Of one topic, with one high-water mark per source. Goes on where it stopped."""

    def __init__(self, logs: Sequence[Log]) -> None:
        """`logs`: the topic's partitions."""
        self._logs = [(log, dict[str, int]()) for log in logs]
        self._next_offsets = [0] * len(self._logs)

    def news(self) -> Iterator[InputRecord]:
        """What came since the last time, partition by partition."""
        for number, (log, marks) in enumerate(self._logs):
            first, self._next_offsets[number] = self._next_offsets[number], log.end_offset
            yield from (record for record in log.between(first, log.end_offset) if _is_new(record, marks))


def _is_new(record: InputRecord, marks: dict[str, int]) -> bool:
    origin = origin_of(record)
    if origin is None:
        return True
    source, sequence = origin
    if sequence <= marks.get(source, 0):
        return False
    marks[source] = sequence
    return True


def origin_of(record: InputRecord) -> tuple[str, int] | None:
    """(source, sequence) of a record that a state partition wrote; None of anybody else's."""
    source = sequence = None
    for name, value in record.headers:
        if name == "earmark_source":
            source = value
        elif name == "earmark_sequence":
            sequence = value
    if source is None or sequence is None or not source.startswith((b"stock/", b"demand/")):
        return None
    assert record.topic in BY_NAME
    return source.decode(), int(sequence)
