"""Sales orders: their lines, status and cancellation records. Decides what may be done to an order in its status."""
