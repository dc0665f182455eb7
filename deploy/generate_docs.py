"""Write the documents that are made from the code: `docs/schemas/*.json` and `docs/asyncapi.json`. `make docs` runs it.

A test fails when they are stale, so that a reader of the repository and a reader of the code see the same language. With `--release`
the schemas are also kept as released: from then on a test fails when we write what a reader of that release would refuse.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from shared.partitions.partition import CODE_VERSION
from shared.schemas.published import asyncapi, json_schema, schema_ids
from shared.schemas.wire import ADAPTERS, SCHEMA

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RELEASED = ROOT / "tests" / "contract" / "released"


def documents() -> dict[Path, str]:
    """Path to content of every generated document."""
    schemas = {DOCS / "schemas" / f"{kind}.{SCHEMA}.json": _text(json_schema(kind)) for kind in schema_ids()}
    return schemas | {DOCS / "asyncapi.json": _text(asyncapi(CODE_VERSION))}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them and remove schemas of messages that are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="also keep the schemas as released; done once for every release")
    made = documents()
    for path in (DOCS / "schemas").glob("*.json"):
        if path not in made:
            path.unlink()
    if parser.parse_args().release:
        made |= {RELEASED / f"{kind}.{SCHEMA}.json": _text(json_schema(kind)) for kind in ADAPTERS}
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
