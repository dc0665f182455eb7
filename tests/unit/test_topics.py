"""How topics are made: as safe as the settings say, and refused in words where the cluster cannot."""

import pytest

from shared.kafka import Copies, TooFewBrokers, _new_topic, _require_brokers
from shared.schemas.topics import ORDERS, STOCK_LEVELS


def test_a_topic_has_the_copies_that_are_asked_for_and_none_is_elected_that_lacks_records() -> None:
    made = _new_topic(ORDERS, 8, Copies(3, 2))
    assert (made.num_partitions, made.replication_factor) == (8, 3)
    assert made.topic_configs["min.insync.replicas"] == "2"
    assert made.topic_configs["unclean.leader.election.enable"] == "false"
    assert (made.topic_configs["cleanup.policy"], _new_topic(STOCK_LEVELS, 8, Copies(1, 1)).topic_configs["cleanup.policy"]) == (
        "delete",
        "compact",
    )


@pytest.mark.parametrize(("brokers", "said"), [(1, "shows 1 broker. "), (2, "shows 2 brokers. ")])
def test_a_cluster_with_fewer_brokers_than_copies_is_refused_with_the_remedy(brokers: int, said: str) -> None:
    with pytest.raises(TooFewBrokers, match=f"3 copies and the cluster {said}.*EARMARK_KAFKA_REPLICATION=1 EARMARK_KAFKA_MIN_INSYNC=1"):
        _require_brokers(brokers, Copies(3, 2))


def test_as_many_brokers_as_copies_are_enough() -> None:
    _require_brokers(3, Copies(3, 2))
