"""What a demo looks like: it fits, it reads without colours, and it is plain where there is no terminal."""

import io
import json

import pytest
from rich.console import Console, RenderableType

from services.console.demo import looks, stories
from services.console.demo.display import Plain, Screen
from services.console.demo.facts import Check, Facts, Step, Story, summary
from services.console.demo.order_lines import generate
from services.console.demo.plan import Post, plan
from tests.unit.console.demo_floor import Floor

WIDTHS = (80, 120)


def played(count: int = 60) -> tuple[Floor, Facts]:
    """A whole demo on the toy allocator."""
    made, floor, facts = plan(generate(count, 3), 3), Floor(), Facts()
    for receipt in made.receipts:
        floor.receive(receipt.sku, receipt.units, receipt.bin, receipt.warehouse)
    for step in made.steps:
        if isinstance(step, Post):
            floor.order(step.order.number, ships_whole=False, **step.order.lines)
        else:
            floor.cancel(step.number)
    facts.summary = summary(made, floor.tally, {"too large": 1})
    facts.stories = list(told(floor))
    facts.checks = [Check("no stock record is oversold", 1234, ())]
    facts.steps = [Step("orders", "orders posted", 1.25)]
    facts.seconds = 12.5
    return floor, facts


def told(floor: Floor) -> list[Story]:
    """All three stories."""
    restock = stories.choose_restock(floor.tally, floor.receipts)
    assert restock is not None
    floor.receive(restock.sku, restock.units, restock.place.bin, restock.place.warehouse)
    adjustment = stories.choose_adjustment(floor.tally, floor.receipts)
    assert adjustment is not None
    first = stories.tell_restock(restock, floor.tally, 20)
    floor.adjust(adjustment.sku, -adjustment.units)
    second = stories.tell_adjustment(adjustment, floor.tally, 20)
    cancellation = stories.choose_cancellation(floor.tally)
    assert cancellation is not None
    floor.cancel(cancellation.number)
    return [first, second, stories.tell_cancellation(cancellation, floor.tally, 20)]


def shown(renderable: RenderableType, width: int) -> str:
    """As text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert max(map(len, text.splitlines())) <= width
    return text


@pytest.fixture(scope="module")
def demo() -> tuple[Floor, Facts]:
    """Played once for all tests of this module."""
    return played()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_part_fits_and_shows_outcomes_in_words(demo: tuple[Floor, Facts], width: int) -> None:
    floor, _ = demo
    text = shown(looks.flow(floor.tally, 60, floor.tellings, 2.0, width, 30), width)
    assert "partially allocated" in text
    assert floor.tellings[-1].number in text
    assert "…" not in text


@pytest.mark.parametrize("height", [10, 24, 60])
def test_the_live_part_is_no_higher_than_the_terminal(demo: tuple[Floor, Facts], height: int) -> None:
    floor, _ = demo
    assert len(shown(looks.flow(floor.tally, 60, floor.tellings, 2.0, 100, height), 100).splitlines()) < height


@pytest.mark.parametrize("width", WIDTHS)
def test_what_stays_fits_and_says_what_matters(demo: tuple[Floor, Facts], width: int) -> None:
    _, facts = demo
    assert facts.summary is not None
    text = shown(looks.summary(facts.summary), width)
    assert "p99" in text
    assert "1 order: too large" in text
    for number, story in enumerate(facts.stories, start=1):
        text = shown(looks.story(number, story), width)
        assert story.title in text
        assert str(story.rows[0][1]) in text
    assert "1,234" in shown(looks.proof(facts.checks), width)
    assert "Everything held." in shown(looks.verdict(facts), width)


def test_what_did_not_hold_is_said(demo: tuple[Floor, Facts]) -> None:
    _, facts = demo
    bad = Facts(summary=facts.summary, checks=[Check("no stock record is oversold", 2, ("sku A",))], complaints=["it is oversold"])
    assert not bad.held
    assert "it is oversold" in shown(looks.verdict(bad), 80)
    assert "✗" in shown(looks.proof(bad.checks), 80)


def test_a_story_that_can_not_be_shown_says_why() -> None:
    assert "not shown: nobody waits" in shown(looks.story(1, Story("restock", "A truck arrives", skipped="nobody waits")), 80)


def test_the_facts_are_one_json_object(demo: tuple[Floor, Facts]) -> None:
    _, facts = demo
    found = json.loads(json.dumps(facts.as_json()))
    assert found["held"] is True
    assert found["verify"] == {"ok": True, "checks": [{"name": "no stock record is oversold", "checked": 1234, "problems": []}]}
    assert found["summary"]["orders"] == sum(found["summary"]["statuses"].values())
    assert {"queue", "order", "waits_for", "got", "now"} == set(found["stories"][0]["rows"][0])


def test_where_there_is_no_terminal_there_is_nothing_but_lines(demo: tuple[Floor, Facts]) -> None:
    floor, _ = demo
    out = io.StringIO()
    with Plain(Console(file=out, width=100)) as display:
        display.begin("starting")
        display.detail("half way")
        display.done(1.5, "started")
        with display.flowing(floor.tally, 60) as tell:
            tell(floor.tellings[0])
    assert "\x1b" not in out.getvalue()
    assert "1.5 s  ✓ started" in out.getvalue()


def test_a_terminal_is_left_with_what_was_done_and_its_cursor(demo: tuple[Floor, Facts]) -> None:
    floor, _ = demo
    out = io.StringIO()
    with Screen(Console(file=out, width=100, height=40, force_terminal=True)) as display:
        display.begin("starting")
        display.done(1.5, "started")
        with display.flowing(floor.tally, 60) as tell:
            for telling in floor.tellings:
                tell(telling)
    assert "started" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in out.getvalue()[-40:]
