"""The behaviours that Earmark promises, from `behaviours.txt`: one line each, `id tag text`, under a heading for each document."""

from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("behaviours.txt")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One promised behaviour. `document`: heading of the document that promises it. `tag`: DOM, UI, NAV, FAQ or CFG."""

    id: str
    tag: str
    text: str
    document: str


def behaviours() -> dict[str, Behaviour]:
    """Id to behaviour, in the order of the documents."""
    found: dict[str, Behaviour] = {}
    document = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            document = line[2:]
            continue
        number, tag, text = line.split(" ", 2)
        assert number not in found, f"{number} stands twice in {FILE.name}"
        found[number] = Behaviour(number, tag, text, document)
    return found
