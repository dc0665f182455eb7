"""The books proved at size: `earmark verify --from-log` over ten million reservations, while orders come."""
