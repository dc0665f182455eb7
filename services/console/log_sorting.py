"""Which records of the topics count at a snapshot of Postgres, and in which table each is compared. Keeps nothing per record."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.console.log_records import INPUTS, OUTPUTS, NotReadable, Row, digest, row_of
from shared.schemas import topics
from shared.schemas.wire import Record

ALLOCATORS_ALONE = frozenset({topics.ALLOCATIONS.name, topics.MOVEMENTS.name, topics.STOCK_LEVELS.name})
"""Where a record of somebody else misleads every reader. On the internal topics there may be one that an operator has stepped over."""
TOPICS = {name: number for number, name in enumerate((*OUTPUTS, *INPUTS))}
"""Topic to the number under which the tables know it."""


@dataclass(slots=True)
class Source:
    """A state partition as the snapshot has it. `highest`: of all numbers that were read; `reached`: of those that the snapshot knows."""

    number: int
    incarnation: int
    out_sequence: int
    highest: int = 0
    reached: int = 0


@dataclass
class Sorter:
    """`sources`: side and number, as `stock/3`, to the state partition; `positions`: of every input how far it was applied. `tables`:
    rows by table, until somebody takes them."""

    sources: Mapping[str, Source]
    positions: Mapping[tuple[str, int], int]
    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    rows: int = 0

    def taken(self) -> Iterable[tuple[str, list[Row]]]:
        """What came since the last time, table by table."""
        tables, self.tables, self.rows = self.tables, defaultdict(list), 0
        return tables.items()

    def sort(self, record: Any) -> None:
        """A record as aiokafka gives it."""
        if record.topic in OUTPUTS:
            self._output(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)
        elif record.offset < self.positions.get((record.topic, record.partition), 0):
            self._input(record)

    def owed(self, topic: str, partition: int, record: Record, said_ms: int) -> None:
        """A record that may not be published yet, from the outbox."""
        self._output(topic, partition, None, said_ms, record.key, record.value, record.headers)

    def _output(
        self, topic: str, partition: int, offset: int | None, said_ms: int, key: bytes | None, value: bytes | None, headers: Any
    ) -> None:
        named = dict(reversed(headers))  # the first of a repeated name counts
        try:
            source, sequence = self._said_by(topic, named)
            source.highest = max(source.highest, sequence)
            if sequence > source.out_sequence:
                return  # told after the snapshot
            source.reached = max(source.reached, sequence)
        except NotReadable as error:
            self._unread(topic, partition, offset or 0, said_ms, error)
            return
        except LookupError:
            return
        kind = named.get("ce_type", b"")
        number = TOPICS[topic]
        common = (offset, sequence, digest(key, value, kind), said_ms, source.number, number, partition)
        table, parse = OUTPUTS[topic]
        try:
            self._add(table, common + row_of(value, parse))
        except NotReadable as error:
            self._unread(topic, partition, offset or 0, said_ms, error)
            self._add("log_other", common)

    def _said_by(self, topic: str, named: Mapping[str, bytes | None]) -> tuple[Source, int]:
        """Raises LookupError where the record does not count, NotReadable where it should not be there."""
        name, _, incarnation = (named.get("earmark_source") or b"").decode("latin-1").rpartition("/")
        source = self.sources.get(name)
        if source is None or not incarnation.isdecimal() or len(incarnation) > 9:
            if topic in ALLOCATORS_ALONE:
                raise NotReadable("nobody but the allocator may write here")
            raise LookupError(name)
        if int(incarnation) < source.incarnation:
            raise LookupError(incarnation)
        if int(incarnation) > source.incarnation:
            raise NotReadable(f"{name} has no incarnation {incarnation} in Postgres")
        sequence = named.get("earmark_sequence") or b""
        if not sequence.isdigit() or len(sequence) > 18:
            raise NotReadable("it has no number")
        return source, int(sequence)

    def _input(self, record: Any) -> None:
        table, parse = INPUTS[record.topic]
        try:
            row = (record.offset, record.timestamp, record.partition, *row_of(record.value, parse))
        except NotReadable as error:
            self._unread(record.topic, record.partition, record.offset, record.timestamp, error)
        else:
            self._add(table, row)

    def _unread(self, topic: str, partition: int, offset: int, said_ms: int, error: NotReadable) -> None:
        self._add("log_unread", (offset, said_ms, TOPICS[topic], partition, str(error)[:500]))

    def _add(self, table: str, row: Row) -> None:
        self.tables[table].append(row)
        self.rows += 1
