"""A fork server of services as they are, but for how long they remember what has ended: KEEP_SECONDS of their environment. The settings
refuse less than a month, because topics are kept so long; nothing of this run is read again after minutes."""

import logging
import os
import sys

from services.console import fork_server, serve
from services.console.leaving import leave
from shared.settings import Settings, settings

DAY_SECONDS = 86_400


def forgetful(found: Settings, keep_seconds: float) -> Settings:
    """The same settings with a shorter memory."""
    return found.model_copy(update={"keep_days": keep_seconds / DAY_SECONDS})


def _service() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    serve.serve(sys.argv[1], forgetful(settings(log_level="WARNING"), float(os.environ["KEEP_SECONDS"])))


if __name__ == "__main__":
    serve.main = _service
    fork_server.main()
    leave(0)
