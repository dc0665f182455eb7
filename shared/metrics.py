"""Every metric of the HTTP services and the relay, declared once with unit and help. Cores emit nothing."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUEST_SECONDS = Histogram(
    "earmark_http_request_seconds",
    "Time from the request's head to the response's end",
    ["service", "method", "route", "status"],
    buckets=_SECONDS,
)
COMMANDS_REPLAYED = Counter(
    "earmark_http_commands_replayed", "Commands answered from a stored reply of the same idempotency key", ["service"]
)
RELAY_PUBLISHED = Counter("earmark_relay_published", "Outbox rows published and deleted", ["service"])
RELAY_FAILURES = Counter("earmark_relay_failures", "Times that the relay lost Postgres or Kafka and began again", ["service"])
RELAY_BATCH_SECONDS = Histogram("earmark_relay_batch_seconds", "Time to publish and delete one batch", ["service"], buckets=_SECONDS)
RELAY_BACKLOG = Gauge("earmark_relay_backlog_rows", "Outbox rows that wait for Kafka, counted up to the cap", ["service"])
PROJECTED = Counter("earmark_projection_records", "Records folded into a projection", ["service", "topic"])
PROJECTION_FAILURES = Counter("earmark_projection_failures", "Times that a projection had to try a batch again", ["service"])
