"""One service as it is, but for how long it remembers what has ended: `python -m tests.soak.service allocator-2 180`. The settings refuse
less than a month, because topics are kept so long; nothing of this run is read again after minutes."""

import logging
import sys

from services.console.leaving import leave
from services.console.serve import serve
from shared.settings import Settings, settings

DAY_SECONDS = 86_400


def forgetful(found: Settings, keep_seconds: float) -> Settings:
    """The same settings with a shorter memory."""
    return found.model_copy(update={"keep_days": keep_seconds / DAY_SECONDS})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    name, seconds = sys.argv[1:]
    serve(name, forgetful(settings(log_level="WARNING"), float(seconds)))
    leave(0)
