"""What a test run says of each behaviour, as JSON between the run and the report."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

Results = dict[str, dict[str, str]]
"""Behaviour id to (test to outcome); an outcome is passed, failed or skipped."""


def write(path: Path, results: Mapping[str, Mapping[str, str]]) -> None:
    """Store the results of one run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, sort_keys=True), encoding="utf-8")


def read(paths: Iterable[Path]) -> Results:
    """The results of several runs as one."""
    merged: Results = {}
    for path in paths:
        for number, tests in json.loads(path.read_text(encoding="utf-8")).items():
            merged.setdefault(number, {}).update(tests)
    return merged


def state(tests: Mapping[str, str]) -> str:
    """proven: at least one test passed and none failed; failing: one failed; untested: none ran to an end."""
    outcomes = set(tests.values())
    if "failed" in outcomes:
        return "failing"
    return "proven" if "passed" in outcomes else "untested"
