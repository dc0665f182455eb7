"""Production: work orders, bills of materials, picking lists. Not in this version: the allocator already takes all-or-nothing demands."""
