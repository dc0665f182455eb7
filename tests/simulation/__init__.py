"""Seeded simulation: the real cores, state partitions, outbox and wire encoding; simulated Kafka, Postgres, processes, time and faults."""
