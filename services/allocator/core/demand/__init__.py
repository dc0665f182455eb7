"""The demand side's decisions: several SKUs, one answer. Pure: no clock, no I/O; knows no stock, only what stock partitions report."""
