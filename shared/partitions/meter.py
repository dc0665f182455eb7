"""What one state partition shows to Prometheus: told once a batch, never once a message."""

from collections.abc import Callable

from shared import metrics
from shared.partitions.model import PartitionId


class Meter:
    """The metrics of one state partition as this process sees it. Their labels are looked up once, not with every batch."""

    def __init__(self, partition: PartitionId) -> None:
        self._labels = (partition.side, str(partition.number))
        self._batch_seconds = metrics.PARTITION_BATCH_SECONDS.labels(*self._labels)
        self._messages = metrics.PARTITION_MESSAGES.labels(*self._labels)
        self._dead_letters = metrics.PARTITION_DEAD_LETTERS.labels(*self._labels)
        self._takeovers = metrics.PARTITION_TAKEOVERS.labels(*self._labels)
        self._publish_failures = metrics.PARTITION_PUBLISH_FAILURES.labels(*self._labels)

    def show(self, backlog: Callable[[], int], halted: Callable[[], bool]) -> None:
        """From now on, these are asked when somebody asks us."""
        metrics.PARTITION_BACKLOG.labels(*self._labels).set_function(backlog)
        metrics.PARTITION_HALTED.labels(*self._labels).set_function(halted)

    def hide(self) -> None:
        """The partition is another process' now: what it holds and how it is, that one shows. What was counted here stays counted."""
        metrics.PARTITION_BACKLOG.remove(*self._labels)
        metrics.PARTITION_HALTED.remove(*self._labels)

    def batch(self, seconds: float, messages: int, dead_letters: int) -> None:
        """One batch is committed."""
        self._batch_seconds.observe(seconds)
        self._messages.inc(messages)
        self._dead_letters.inc(dead_letters)

    def taken_over(self) -> None:
        """The fence is ours."""
        self._takeovers.inc()

    def forgotten(self, table: str, rows: int) -> None:
        """Rows that nobody needs any more are gone."""
        if rows:
            metrics.PARTITION_FORGOTTEN.labels(*self._labels, table).inc(rows)

    def publish_failed(self) -> None:
        """What is committed has to be published again."""
        self._publish_failures.inc()
