"""The world around the services: what a broker shows late is waited for, what it does not show is told."""

import pytest

from shared import world
from shared.kafka import partition_counts
from shared.schemas.topics import TOPICS

COUNTS = partition_counts(8, 8)
WHOLE = {f"partitions of {topic.name}": "8" for topic in TOPICS} | {"cluster id": "c"}


def shows(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, str]) -> list[str]:
    """Kafka answers so, one after the other, and the last for ever. Returns who was asked."""
    left, asked = list(answers), list[str]()

    async def describe(bootstrap: str) -> dict[str, str]:
        asked.append(bootstrap)
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(world, "describe_world", describe)
    return asked


async def test_a_broker_that_hears_late_of_a_topic_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    partial = {name: value for name, value in WHOLE.items() if "order-intake" not in name}
    asked = shows(monkeypatch, {"cluster id": "c"}, partial, WHOLE)
    assert await world.describe_made("kafka:9092", COUNTS) == WHOLE
    assert asked == ["kafka:9092"] * 3


async def test_a_topic_that_does_not_come_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "SHOWN_SECONDS", 0.15)
    shows(monkeypatch, {"cluster id": "c"})
    assert await world.describe_made("kafka:9092", COUNTS) == {"cluster id": "c"}


async def test_another_number_of_partitions_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = shows(monkeypatch, WHOLE | {"partitions of earmark.orders": "9"})
    assert (await world.describe_made("kafka:9092", COUNTS))["partitions of earmark.orders"] == "9"
    assert len(asked) == 1
