"""The allocator's read-only HTTP: records, holders, movements, explanations. Decides nothing."""
