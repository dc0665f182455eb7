"""The `earmark` program: `python -m services.console`. Ctrl-C ends it with status 130 and no traceback, while it still loads, too."""

import signal
import sys


def main() -> None:
    """The entry point."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from services.console.cli import app, guarded

        status = guarded(app)
    except KeyboardInterrupt:
        print("\nInterrupted before anything was started.", file=sys.stderr)
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
