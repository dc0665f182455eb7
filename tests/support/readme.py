"""The commands that the README shows, so that tests can run them as they stand there."""

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_BLOCKS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of every shell block, as the shell would pass it on; substitutions are left as they stand."""
    blocks = _BLOCKS.findall(README.read_text(encoding="utf-8"))
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that the README shows."""

    url: str
    headers: dict[str, str]
    body: str


def requests() -> list[Request]:
    """The requests to a running stack, in their order: what the shell function `post` makes of its two arguments."""
    (definition,) = (words for words in commands() if words[0] == "curl")
    headers = dict(value.split(": ", 1) for option, value in pairwise(definition) if option == "-H")
    (url,) = (word for word in definition if word.startswith("http"))
    return [Request(url.replace("$1", words[1]), headers, words[2]) for words in commands() if words[0] == "post"]
