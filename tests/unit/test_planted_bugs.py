"""docs/planted-bugs.md tells of every planted bug, and of no other. What it costs to find them is measured by `make flaws`."""

from pathlib import Path

from tests.simulation.hunt import Hunt
from tests.simulation.planted import PLANTED
from tests.simulation.planted_table import DOCUMENT, Found, first_seeds, write
from tests.simulation.running import Result


def test_every_planted_bug_has_its_row_and_was_found() -> None:
    rows = first_seeds()
    assert list(rows) == list(PLANTED), "run `make flaws`"
    assert all(first >= 0 for first in rows.values()), "a bug that nobody finds means a missing check"


def test_every_row_says_what_is_wrong_in_the_words_that_stand_beside_the_bug() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, flaw in PLANTED.items():
        sentence = flaw.__doc__ or ""
        assert sentence.endswith("."), name
        assert f"| `{name}` | {sentence} |" in text, f"{name}: run `make flaws`"


def test_how_many_seeds_a_bug_takes_is_counted_anew_after_each_that_finds_it() -> None:
    found = tuple(Result(seed, "Failed: sums: 1 and 2", "", 0) for seed in (3, 4, 9))
    hunt = Hunt("NoFence", 20, found)
    assert (hunt.first, hunt.median, hunt.noticed) == (3, 4, "sums")


def test_a_bug_that_nobody_finds_is_told_as_that() -> None:
    hunt = Hunt("NoFence", 20, ())
    assert (hunt.first, hunt.median, hunt.noticed) == (None, None, "nothing")


def test_a_row_is_renewed_by_itself_and_stands_where_its_bug_stands(tmp_path: Path) -> None:
    document = tmp_path / "planted-bugs.md"
    write(Found("NoMarks", 2, 8, 3.5, 1, "sums"), Found("NoFence", 15, 20, 1, 0, "sums"), document=document)
    write(Found("NoFence", 0, 400, None, None, "nothing"), document=document)
    assert first_seeds(document) == {"NoFence": -1, "NoMarks": 1}
    assert list(first_seeds(document)) == ["NoFence", "NoMarks"]


def test_the_row_of_a_bug_that_is_planted_no_more_goes(tmp_path: Path) -> None:
    document = tmp_path / "planted-bugs.md"
    document.write_text("| `NoSuchBug` | It was one. | 1 of 1 | 1 | 0 | sums |\n", encoding="utf-8")
    write(document=document)
    assert not first_seeds(document)
