"""The corpus: inputs that once were found to break a promise, and one small input for everything that a decoder can answer. It only grows.

One file for each decoder in `tests/fuzz/corpus`, one input on a line. Bytes are written as Latin-1: a character for each.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import mutations, verdicts
from tests.fuzz.verdicts import Verdict

FOLDER = Path(__file__).with_name("corpus")
MAX_KEPT = 4_000
"""Bytes of one input: what needs more to be what it is, is made in a test instead of kept."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """One way in. `judge` takes what `inputs` makes; `written` and `read` are its form in JSON."""

    name: str
    judge: Callable[[Any], Verdict]
    inputs: st.SearchStrategy[Any]
    written: Callable[[Any], Any]
    read: Callable[[Any], Any]

    @property
    def path(self) -> Path:
        """Where its inputs are kept."""
        return FOLDER / f"{self.name}.jsonl"


@dataclass(frozen=True, slots=True)
class Kept:
    """One input of the corpus and what must be said of it: `taken`, or the refused field. None: nothing but what holds of all."""

    decoder: Decoder
    content: Any
    word: str | None


def _bytes_written(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")


def _bytes_read(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _of_kind(kind: str) -> Decoder:
    return Decoder(kind, lambda value: verdicts.record(kind, value), mutations.nearly(kind), _bytes_written, _bytes_read)


DECODERS = (
    *map(_of_kind, verdicts.KINDS),
    Decoder(
        "headers",
        verdicts.headers,
        mutations.headers,
        lambda raw: [[name, _bytes_written(value)] for name, value in raw],
        lambda read: [(name, _bytes_read(value)) for name, value in read],
    ),
    Decoder("body", verdicts.body, mutations.nearly("order_intake") | st.binary(max_size=40), _bytes_written, _bytes_read),
    Decoder("api_key", verdicts.api_key, mutations.keys, str, str),
    Decoder("cursor", verdicts.cursor, mutations.cursors(), str, str),
)


def kept() -> Iterator[Kept]:
    """The whole corpus."""
    for decoder in DECODERS:
        lines = decoder.path.read_text(encoding="utf-8").splitlines() if decoder.path.exists() else []
        for line in lines:
            one = json.loads(line)
            yield Kept(decoder, decoder.read(one["input"]), one["verdict"])


def keep(decoder: Decoder, content: Any, word: str | None, why: str) -> None:
    """Add an input."""
    line = json.dumps({"verdict": word, "input": decoder.written(content), "why": why})
    with decoder.path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
