"""Kafka is ahead of Postgres when any record has a higher number than its source has in the database."""

from dataclasses import dataclass

import pytest

from shared.kafka import WorldChanged
from shared.partitions.ahead import check_not_ahead, newest_of
from shared.partitions.model import PartitionId
from shared.schemas.topics import MOVEMENTS

STOCK = PartitionId("stock", 3)


@dataclass(frozen=True)
class Read:
    """A record as the client gives it."""

    headers: tuple[tuple[str, bytes], ...]
    offset: int = 0
    topic: str = MOVEMENTS.name
    partition: int = 5


def written(source: str, sequence: int, offset: int = 0) -> Read:
    """A record under this name."""
    return Read((("earmark_source", source.encode()), ("earmark_sequence", str(sequence).encode())), offset)


@pytest.mark.parametrize(
    ("source", "sequence", "known"),
    [
        ("stock/3/1", 40, (1, 40)),
        ("stock/3/1", 40, (1, 41)),
        ("stock/3/1", 9_000, (2, 5)),  # from before it was recovered
    ],
)
def test_what_the_database_knows_may_be_in_kafka(source: str, sequence: int, known: tuple[int, int]) -> None:
    check_not_ahead(newest_of([written(source, sequence)]), {STOCK: known})


@pytest.mark.parametrize(
    ("source", "sequence", "known"),
    [
        ("stock/3/1", 41, {STOCK: (1, 40)}),
        ("stock/3/2", 1, {STOCK: (1, 40)}),  # a backup from before it was recovered
        ("stock/3/1", 1, {}),  # an empty database beside a Kafka that was used
    ],
)
def test_what_the_database_does_not_know_is_refused(source: str, sequence: int, known: dict[PartitionId, tuple[int, int]]) -> None:
    with pytest.raises(WorldChanged, match=rf"movements partition 5 holds record {sequence} of {source} at offset 17.*#kafka-ahead"):
        check_not_ahead(newest_of([written(source, sequence, offset=17)]), known)


def test_the_highest_number_of_a_source_counts_wherever_it_lies() -> None:
    records = [written("stock/3/1", 7, 1), written("stock/3/1", 9, 2), written("stock/3/1", 8, 3), written("demand/0/1", 2, 4)]
    assert {partition: told.sequence for partition, told in newest_of(records).items()} == {STOCK: 9, PartitionId("demand", 0): 2}


@pytest.mark.parametrize("source", ["orders", "stock/three/1", "stock/3", "stock/3/1/4", "../3/x"])
def test_records_of_others_say_nothing(source: str) -> None:
    assert newest_of([written(source, 10**15), Read(())]) == {}
