"""State partitions: one writer, one fence. Generic: knows inputs, batches, fences and outboxes, and no business."""
