"""The real processes, a real Kafka and a real Postgres under faults that one seed draws; then a proof that nothing was lost."""
