"""`make fuzz MINUTES=10`: look for inputs that break a promise of a decoder, or of the described HTTP; half of the time for each.

What a decoder is found to do wrong is made as small as it gets and added to the corpus, and so is one small input for every answer that it
has not given before. The HTTP part prints its findings as requests that can be repeated.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings

from tests.fuzz.corpus import DECODERS, MAX_KEPT, Decoder, keep, kept

EXAMPLES = 150
ATTEMPTS = 1_500
"""To make one input smaller."""
DESCRIBED = ["-m", "pytest", "-q", "-n", "0", "tests/integration/test_http_described.py"]


class _Broken(Exception):
    """A decoder did what it never may."""


def main() -> None:
    """Search for so many minutes; status 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", choices=["decoders", "http"], help="spend all of the time there")
    given_to = parser.parse_args()
    seconds = given_to.minutes * 60 / (1 if given_to.only else 2)
    found = 0
    if given_to.only != "http":
        found += _search_decoders(time.monotonic() + seconds)
    if given_to.only != "decoders":
        found += _search_http(time.monotonic() + seconds)
    sys.exit(1 if found else 0)


# ---------------------------------------------------------------- decoders


def _search_decoders(until: float) -> int:
    """Every decoder in turn, until the time is over; how many promises were broken."""
    rounds = 0
    known = {one.name: {_class_of(one, found.content) for found in kept() if found.decoder is one} for one in DECODERS}
    wrong: set[str] = set()
    while time.monotonic() < until:
        for decoder in DECODERS:
            if decoder.name not in wrong and not _search(decoder, known[decoder.name]):
                wrong.add(decoder.name)  # it would find the same again
            if time.monotonic() > until:
                break
        rounds += 1
    answers = sum(map(len, known.values()))
    print(f"{len(DECODERS)} decoders, {rounds} rounds of {EXAMPLES} inputs each: {answers} kinds of answers, {len(wrong)} broken promises")
    return len(wrong)


def _search(decoder: Decoder, known: set[str]) -> bool:
    """One round. False where a promise was broken: the smallest such input is in the corpus."""
    new: dict[str, Any] = {}
    last: list[Any] = []

    @settings(max_examples=EXAMPLES, derandomize=False, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(decoder.inputs)
    def look(content: Any) -> None:
        last[:] = [content]
        try:
            class_of = decoder.judge(content).class_of
        except Exception as error:  # whatever it is: nothing but a refusal may come out of a decoder
            raise _Broken(f"{type(error).__name__}: {error}") from error
        if class_of not in known and len(content or b"") <= len(new.get(class_of, content) or b""):
            new[class_of] = content

    try:
        look()
    except _Broken as error:
        keep(decoder, last[0], None, str(error)[:200])
        print(f"{decoder.name}: {error}\n  {last[0]!r}"[:2_000])
        return False
    for class_of in sorted(new):
        known.add(class_of)
        content = _smallest(decoder, new[class_of], class_of)
        if len(content or b"") <= MAX_KEPT:
            keep(decoder, content, decoder.judge(content).word, class_of)
    return True


def _class_of(decoder: Decoder, content: Any) -> str:
    try:
        return decoder.judge(content).class_of
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _smallest(decoder: Decoder, content: Any, class_of: str) -> Any:
    """The same with what is not needed for an answer of this class taken out, as far as so many attempts go."""
    if content is None:
        return None
    attempts = 0
    size = max(1, len(content) // 2)
    while size and attempts < ATTEMPTS:
        at = 0
        while at < len(content) and attempts < ATTEMPTS:
            attempts += 1
            shorter = _without(content, at, size)
            if _class_of(decoder, shorter) == class_of:
                content = shorter
            else:
                at += size
        size //= 2
    return content


def _without(content: Sequence[Any], at: int, size: int) -> Any:
    return content[:at] + content[at + size :]  # type: ignore[operator]  # bytes, text or a list


# ---------------------------------------------------------------- HTTP


def _search_http(until: float) -> int:
    """The described HTTP with other examples each time, until the time is over; how many rounds failed."""
    failed = 0
    while time.monotonic() < until and not failed:
        environment = os.environ | {"HYPOTHESIS_PROFILE": "explore", "FUZZ_EXAMPLES": "60"}
        failed += subprocess.run([sys.executable, *DESCRIBED], env=environment, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    main()
