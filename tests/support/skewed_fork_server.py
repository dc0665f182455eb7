"""A fork server whose wall clock, and that of all its services, is wrong by `SECONDS_AHEAD`. Monotonic time goes right, as it does on a
machine with a wrong clock."""

import os
import time

import time_machine

from services.console.fork_server import main
from services.console.leaving import leave

if __name__ == "__main__":
    time_machine.travel(time.time() + int(os.environ["SECONDS_AHEAD"]), tick=True).start()
    main()
    leave(0)
