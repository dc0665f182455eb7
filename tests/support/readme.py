"""The commands that the README shows, so that tests can run them as they stand there."""

import re
import shlex
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of every shell block, as the shell would pass it on; substitutions are left as they stand."""
    blocks = _BLOCKS.findall(README.read_text(encoding="utf-8"))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def requests() -> list[list[str]]:
    """Those that are requests to a running stack."""
    return [words for words in commands() if words[0] == "curl"]
