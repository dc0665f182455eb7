"""The golden files: every released kind of record as it was once written. They are never edited, only added to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("golden")


@dataclass(frozen=True, slots=True)
class Golden:
    """The file of one kind at one version of its schema: headers, and values as JSON."""

    kind: str
    version: str
    headers: Mapping[str, str]
    values: Sequence[Any]

    @property
    def raw_values(self) -> list[bytes]:
        """The values as they lie in Kafka."""
        return [json.dumps(value).encode() for value in self.values]


def golden_files() -> dict[str, Golden]:
    """File stem, `kind.version`, to its content."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        kind, _, version = path.stem.rpartition(".")
        found[path.stem] = Golden(kind, version, content["headers"], content["values"])
    return found
