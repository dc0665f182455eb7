"""Named crash points: at every seam where a kill -9 must do no harm. A test arms one by EARMARK_CRASH=name:n (the n-th time)."""

import os
import signal
from collections.abc import Callable, Mapping

POINTS = (
    "claimed",
    "polled",
    "fenced",
    "decided",
    "saved",
    "before_commit",
    "committed",
    "half_published",
    "published",
    "relay_published",
    "command_written",
    "command_committed",
    "stopping",
)
"""All of them; a test arms each once."""

_armed = ""
_left = 0
_listener: Callable[[str], None] | None = None


def arm(environment: Mapping[str, str]) -> None:
    """As EARMARK_CRASH says there: at no point where it says nothing."""
    global _armed, _left  # noqa: PLW0603 - a process dies once
    _armed, _, count = environment.get("EARMARK_CRASH", "").partition(":")
    _left = int(count or 1)


def listen(listener: Callable[[str], None] | None) -> None:
    """For the simulation: tell every point that is passed to `listener`, which may raise to end one simulated process there."""
    global _listener  # noqa: PLW0603 - one simulation at a time in a process
    _listener = listener


def is_armed(name: str) -> bool:
    """Whether this process is to die at this point."""
    return _armed == name


def crash_point(name: str) -> None:
    """Die here, at once and without a word, when armed for this point."""
    if _listener is not None:
        _listener(name)
    if _armed != name:
        return
    global _left  # noqa: PLW0603 - counts down to one death of this very process
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
