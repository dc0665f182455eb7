"""Every reason to halt leads to a section that is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^## (\S+)$", RUNBOOKS, re.MULTILINE))
LINK = re.compile(r"docs/runbooks\.md#([a-z-]*)")


def _texts() -> Iterator[tuple[Path, str]]:
    """Every literal text of the product, parts of f-strings too."""
    for path in [path for room in ("shared", "services", "deploy") for path in (ROOT / room).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.relative_to(ROOT), node.value


def test_every_link_in_an_error_leads_to_a_section() -> None:
    links = [(path, anchor) for path, text in _texts() for anchor in LINK.findall(text) if anchor]
    assert len(links) >= 5
    assert not [(str(path), anchor) for path, anchor in links if anchor not in SECTIONS]


def test_anchors_that_are_put_together_are_there_too() -> None:
    assert {"newer-schema", "undecodable-internal-record"} <= SECTIONS


def test_links_between_sections_lead_somewhere() -> None:
    assert set(re.findall(r"\]\(#([a-z-]+)\)", RUNBOOKS)) <= SECTIONS


def test_every_section_says_what_is_seen_what_happened_and_what_to_do_or_where_that_stands() -> None:
    for section in re.split(r"^## ", RUNBOOKS, flags=re.MULTILINE)[1:]:
        name = section.splitlines()[0]
        assert "**You see**" in section, name
        assert "**What happened.**" in section, name
        assert "**Do.**" in section or "See [" in section, name
