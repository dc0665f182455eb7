"""Every metric, declared once with unit and help. Cores emit nothing."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUEST_SECONDS = Histogram(
    "earmark_http_request_seconds",
    "Time from the request's head to the response's end",
    ["service", "method", "route", "status"],
    buckets=_SECONDS,
)
CONNECTIONS_CUT = Counter(
    "earmark_http_connections_cut",
    "Connections ended because their client was slow, said no HTTP or there were too many",
    ["service", "reason"],
)
COMMANDS_REPLAYED = Counter(
    "earmark_http_commands_replayed", "Commands answered from a stored reply of the same idempotency key", ["service"]
)
RELAY_PUBLISHED = Counter("earmark_relay_published", "Events of the outbox published and deleted", ["service"])
RELAY_FAILURES = Counter("earmark_relay_failures", "Times that the relay lost Postgres or Kafka and began again", ["service"])
RELAY_BATCH_SECONDS = Histogram("earmark_relay_batch_seconds", "Time to publish and delete one batch", ["service"], buckets=_SECONDS)
RELAY_BACKLOG = Gauge("earmark_relay_backlog_rows", "Events that wait in the outbox for Kafka, counted up to the cap", ["service"])
PROJECTED = Counter("earmark_projection_records", "Records folded into a projection", ["service", "topic"])
PROJECTION_FAILURES = Counter("earmark_projection_failures", "Times that a projection had to try a batch again", ["service"])
STRANGE_HEADERS = Counter(
    "earmark_strange_headers",
    "Records with a header whose name is not UTF-8: read by hand, which is slow; their sender should be told",
    ["topic"],
)

PARTITION_BATCH_SECONDS = Histogram(
    "earmark_partition_batch_seconds",
    "Time from a batch's first statement to the answer of its commit",
    ["side", "partition"],
    buckets=_SECONDS,
)
PARTITION_MESSAGES = Counter("earmark_partition_messages", "Messages decided, repeats left out", ["side", "partition"])
PARTITION_DEAD_LETTERS = Counter("earmark_partition_dead_letters", "Records of others that were put aside", ["side", "partition"])
PARTITION_TAKEOVERS = Counter("earmark_partition_takeovers", "Times that this process took the state partition over", ["side", "partition"])
PARTITION_PUBLISH_FAILURES = Counter(
    "earmark_partition_publish_failures", "Times that committed outputs could not be published and were tried again", ["side", "partition"]
)
PARTITION_BACKLOG = Gauge("earmark_partition_backlog_records", "Outputs committed and not yet acknowledged by Kafka", ["side", "partition"])
PARTITION_HALTED = Gauge(
    "earmark_partition_halted", "1 where the state partition stopped and waits for a person: /health/live says why", ["side", "partition"]
)
PARTITION_LAG = Gauge(
    "earmark_partition_lag_records", "Records of an input that no committed batch covers yet", ["side", "partition", "topic"]
)
WAITING_LINES = Gauge("earmark_waiting_lines", "Lines of demands that wait for stock of their SKU, counted every 10 s", ["partition"])
PARTITION_FORGOTTEN = Counter(
    "earmark_partition_forgotten_rows", "Rows removed because nobody needs them any more", ["side", "partition", "table"]
)
