"""The `earmark` program: `python -m services.console`. Ctrl-C ends it with status 130 and no traceback, while it still loads, too."""

import signal
import sys
from types import FrameType

from services.console.leaving import leave


def main() -> None:
    """The entry point."""
    signal.signal(signal.SIGTERM, _end_as_by_ctrl_c)
    try:
        from services.console.cli import app, guarded

        status = guarded(app)
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        status = ended.code
    except KeyboardInterrupt:
        print("\nInterrupted before anything was started.", file=sys.stderr)
        status = 130
    leave(status)


def _end_as_by_ctrl_c(number: int, frame: FrameType | None) -> None:
    """SIGTERM does what Ctrl-C does at this moment. asyncio turns that into the end of its main task; a KeyboardInterrupt out of nowhere
    would end whatever step of the event loop it meets, and is lost where that is a finalizer. Deaf to Ctrl-C, as shells start what they
    put in the background, is not deaf to this."""
    ctrl_c = signal.getsignal(signal.SIGINT)
    (ctrl_c if callable(ctrl_c) else signal.default_int_handler)(number, frame)


if __name__ == "__main__":
    main()
