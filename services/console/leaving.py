"""How our processes end."""

import os
import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process with that status, everything said, and take nothing apart: to free what a service has imported, object by object,
    takes half a second of a core. What has to be closed was closed before."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads it, or it is closed: the interpreter knows what to do then
        sys.exit(status)
    os._exit(status)
