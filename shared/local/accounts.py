"""Postgres refuses to run as root: the account that runs it instead, and what that account can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.local.errors import NoAccountForPostgres

# The first that exists. `nobody` is everywhere; an account of Postgres' own shares its files with fewer programs.
CANDIDATES = ("earmark", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of this machine."""

    name: str
    user_id: int
    group_id: int


def account_for_postgres() -> Account | None:
    """None when we are not root: then the server runs as we do. Raises NoAccountForPostgres."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in CANDIDATES:
        if name in known:
            return Account(name, known[name].pw_uid, known[name].pw_gid)
    raise NoAccountForPostgres(accounts=", ".join(CANDIDATES))


def run_as(account: Account | None, command: list[str | Path], *, folder: Path, text_in: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end as `account`, in `folder`, with its output captured and nothing of our environment. In a session of its
    own: Ctrl-C in the terminal reaches us, and we decide when what it started is stopped."""
    identity = {} if account is None else {"user": account.user_id, "group": account.group_id, "extra_groups": []}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]  # the three arguments are given together or not at all
        command,
        cwd=folder,
        input=text_in,
        capture_output=True,
        text=True,
        check=False,
        env=dict(_environment()),
        start_new_session=True,
        **identity,
    )


def _environment() -> Mapping[str, str]:
    """A session's own PG… variables and locale would change what the tools do."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def can_run(account: Account | None, command: list[str | Path]) -> bool:
    """Whether `account` can reach, read and run the command. Asked of the system, which knows of access lists and mounts."""
    try:
        return run_as(account, command, folder=Path("/") if account else Path.cwd()).returncode == 0
    except OSError:
        return False


def can_enter(account: Account | None, folder: Path) -> bool:
    """Whether `account` may pass through `folder` and every folder above it."""
    return account is None or can_run(account, ["/bin/sh", "-c", 'cd "$0"', folder])


def give(account: Account | None, path: Path) -> None:
    """Make `account` the owner of `path`; nothing to do when the server runs as we do."""
    if account is not None and sys.platform != "win32":
        os.chown(path, account.user_id, account.group_id, follow_symlinks=False)
