"""The allocator's stock partitions alone, as a process: what the benchmark of the stock side measures."""

import logging

import uvloop

from services.allocator.app import partition_process
from services.console.serve import tune_collector
from shared.settings import settings

if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    tune_collector("allocator")
    uvloop.run(partition_process(settings(), sides=("stock",)).run())
