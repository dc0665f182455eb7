"""The process behind `forked`: it imports every service once, and forks them as it is asked. `python -m services.console.fork_server`,
questions on standard input and answers on standard output, a line of JSON each."""

import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping

from services.console import serve
from services.console.leaving import leave


def main() -> None:
    """Answer questions until whoever asks has gone."""
    gc.disable()  # what is imported stays, and to look for what does not took a tenth of the time
    for module in serve.APPLICATIONS.values():
        importlib.import_module(module)
    gc.freeze()  # shared with the children for as long as nobody writes to it
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _status_of(asked["status_of"]) if "status_of" in asked else _fork(asked["start"], asked["log"], asked["environment"])
        print(json.dumps(answer), flush=True)


def _status_of(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _fork(name: str, log: str, environment: Mapping[str, str]) -> int:
    if pid := os.fork():
        return pid
    try:
        _become(name, log, environment)
        leave(0)
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:
        traceback.print_exc()
        leave(1)


def _become(name: str, log: str, environment: Mapping[str, str]) -> None:
    """As if `python -m services.console.serve` had been started here, in a session of its own."""
    os.setsid()
    with open(os.devnull, "rb") as nothing, open(log, "ab") as said:
        for stream, target in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(stream.fileno(), target)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = [name]
    serve.main()


if __name__ == "__main__":
    main()
    leave(0)
