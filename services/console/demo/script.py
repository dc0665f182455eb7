"""The demo itself, scene by scene: what is done, awaited, told. The words are in `looks`, the choices in `plan` and `stories`."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.console import keys
from services.console.demo import facts as facts_of
from services.console.demo import looks, stories
from services.console.demo.display import Display
from services.console.demo.facts import Check, Facts, Step, Story
from services.console.demo.feed import Feed, reading
from services.console.demo.marketplace import Marketplace
from services.console.demo.order_lines import ShopOrder
from services.console.demo.plan import MERCHANT, Cancel, Plan, Post, Receipt, ships_whole
from services.console.demo.shop import DemoError, Refused, Shop, at_once
from services.console.demo.tally import Tally, Telling
from services.console.processes import Addresses, Stack
from services.console.settled import prove
from services.console.verify_log import verify_log
from shared.kafka import partition_counts
from shared.local import process
from shared.settings import Settings

SILENCE_SECONDS = 30.0
"""The demo gives up when nothing at all was told for so long."""
CUSTOMERS = 32
"""So many order at once, each waiting for the decision on one order before the next."""
QUIET_SECONDS = 0.25
STORY_SECONDS = 15.0
LOOKS = 40


class AnotherDemo(DemoError):
    """Another demo runs in this folder, which this one would empty. Wait for its end, or give this one a folder of its own."""


@dataclass(slots=True)
class Stage:
    """What every scene works with."""

    plan: Plan
    display: Display
    facts: Facts
    feed: Feed
    shop: Shop
    marketplace: Marketplace
    settings: Settings
    receipts: list[Receipt]
    began: datetime

    @property
    def tally(self) -> Tally:
        """What is known of the orders."""
        return self.feed.tally


@contextmanager
def step(display: Display, facts: Facts, name: str, doing: str) -> Iterator[Callable[[str], None]]:
    """A step with its time; the block says how it is told when it is done."""
    display.begin(doing)
    since, told = time.monotonic(), [doing]
    yield lambda text: told.__setitem__(0, text)
    seconds = time.monotonic() - since
    facts.steps.append(Step(name, told[0], round(seconds, 3)))
    display.done(seconds, told[0])


# ---------------------------------------------------------------- the whole


def perform(plan: Plan, folder: Path, display: Display, *, keep: bool) -> Facts:
    """Everything, from an empty folder to the verdict. Nothing of it is left running, whatever happens, unless all went well and it is
    to be kept. Its data is removed when all held or it was interrupted; otherwise it stays for whoever looks for the reason. Raises
    AnotherDemo."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with process.sole(folder.parent) as alone:
        if not alone:
            raise AnotherDemo(
                f"another demo runs in {folder}: wait for its end, or give this one a folder of its own, `earmark demo --data FOLDER`"
            )
        return _perform(plan, folder, display, keep=keep)


def _perform(plan: Plan, folder: Path, display: Display, *, keep: bool) -> Facts:
    facts, since = Facts(), time.monotonic()
    stack = Stack(folder, display.detail, ephemeral=not keep, private=True, brief=not keep)
    end = stack.down
    try:
        with display:
            addresses = _start(stack, folder, display, facts)
            process.run(_play(plan, stack, addresses, display, facts))
            facts.seconds = time.monotonic() - since
            display.show(looks.verdict(facts))
        end = stack.clean if facts.held else stack.down
    except KeyboardInterrupt:
        end = stack.clean
        raise
    finally:
        if keep and facts.held:
            facts.kept = _kept(addresses, facts.kept)
            display.show(looks.kept(facts.kept, folder))
        else:
            end = end if stack.has_logs() else stack.clean
            with process.undisturbed():
                end()
            display.show(looks.gone(facts, None if end == stack.clean else folder))
    return facts


def _start(stack: Stack, folder: Path, display: Display, facts: Facts) -> Addresses:
    if folder.exists():
        with step(display, facts, "clean", "removing what the last demo left") as done:
            stack.clean()
            done("removed what the last demo left")
    shutil.rmtree(folder, ignore_errors=True)
    with step(display, facts, "servers", "starting Kafka and Postgres") as done:
        stack.load()
        stack.servers.start()
        done("Kafka and Postgres run, private to this demo, empty")
    with step(display, facts, "services", "starting orders, inventory and allocator") as done:
        addresses = stack.up()
        done("orders, inventory and allocator are ready")
    return addresses


def _kept(addresses: Addresses, kept: object) -> dict[str, str]:
    known = dict(kept) if isinstance(kept, dict) else {}
    return {name: f"{getattr(addresses, name)}/docs" for name in ("orders", "inventory", "allocator")} | {"Kafka": addresses.kafka} | known


async def _play(plan: Plan, stack: Stack, addresses: Addresses, display: Display, facts: Facts) -> None:
    settings = stack.settings()
    token = await keys.first_key(settings, MERCHANT)
    assert token is not None, "the database is new"
    facts.kept = {"API key": token}
    counts = partition_counts(settings.stock_partitions, settings.demand_partitions)
    feed = Feed(Tally(MERCHANT))
    async with (
        Shop(addresses.orders, addresses.inventory, token) as shop,
        Marketplace(addresses.kafka) as marketplace,
        reading(addresses.kafka, counts, feed),
    ):
        stage = Stage(plan, display, facts, feed, shop, marketplace, settings, list(plan.receipts), datetime.now(UTC))
        await _furnish(stage)
        await _stock(stage)
        await _orders(stage)
        await _tell_stories(stage)
        await feed.until_quiet(QUIET_SECONDS, STORY_SECONDS)
        await _compare(stage)
        await _prove(stage)


# ---------------------------------------------------------------- scenes


async def _furnish(stage: Stage) -> None:
    skus = stage.plan.skus
    with step(stage.display, stage.facts, "furnish", "making warehouses, bins and products") as done:
        await stage.shop.furnish(skus)
        bins = len({(receipt.warehouse, receipt.bin) for receipt in stage.receipts})
        done(f"merchant {MERCHANT} has 2 warehouses, {bins} bins in use, {len(skus):,} products")


async def _stock(stage: Stage) -> None:
    wanted = sum(sum(order.lines.values()) for order in stage.plan.orders if order.number not in stage.plan.canceled)
    received = sum(receipt.units for receipt in stage.receipts)
    with step(stage.display, stage.facts, "stock", "receiving stock") as done:
        await _receive(stage, stage.receipts, "opening stock")
        done(f"{received:,} units received in {len(stage.receipts):,} receipts: {100 * received / wanted:.0f} % of what will be wanted")


async def _receive(stage: Stage, receipts: list[Receipt], cause: str) -> None:
    ids = set(await stage.shop.receive(receipts, cause))
    await stage.feed.until(lambda: ids <= stage.feed.moved | stage.feed.refused.keys(), SILENCE_SECONDS)
    if missing := ids - stage.feed.moved:
        said = next((stage.feed.refused[one] for one in missing if one in stage.feed.refused), "no answer came")
        raise DemoError(f"{len(missing)} of {len(ids)} receipts were not posted ({said}): run the demo again")


async def _orders(stage: Stage) -> None:
    plan, tally, posting = stage.plan, stage.tally, Posting(stage)
    with step(stage.display, stage.facts, "orders", "posting orders") as done:
        with stage.display.flowing(tally, len(plan.orders)) as tell:
            stage.feed.on_telling = posting.hears(tell)
            await at_once(posting.take, enumerate(plan.steps), CUSTOMERS)
            await stage.feed.until(lambda: not tally.unsettled_count, SILENCE_SECONDS)
            await stage.feed.until_quiet(QUIET_SECONDS, STORY_SECONDS)
            stage.feed.on_telling = lambda telling: None
        done(
            f"{len(tally.orders):,} orders, {sum(len(order.lines) for order in plan.orders):,} lines; "
            f"{len(plan.canceled):,} canceled again; {tally.settled:,} answered; "
            f"{stage.marketplace.sent:,} came from a marketplace over Kafka, the others over HTTP"
        )
    stage.facts.summary = facts_of.summary(plan, tally, posting.refused)
    if missing := tally.unsettled:
        stage.facts.complaints.append(f"{len(missing)} orders have no answer, the first is {missing[0]}")
    stage.display.show(looks.summary(stage.facts.summary))


class Posting:
    """The customers: each posts an order and waits for its decision before the next. Cancels are sent as soon as their order is
    accepted. An order that is refused is counted, and the others go on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._canceled = stage.plan.canceled
        self._accepted = {order.number: asyncio.Event() for order in stage.plan.orders}
        self._answered = {order.number: asyncio.Event() for order in stage.plan.orders}
        self.refused: dict[str, int] = {}

    def hears(self, tell: Callable[[Telling], None]) -> Callable[[Telling], None]:
        """What to do with every event: pass it on, and let the customer go."""

        def heard(telling: Telling) -> None:
            tell(telling)
            self._answered[telling.number].set()

        return heard

    async def take(self, numbered: tuple[int, Post | Cancel]) -> None:
        """One step of the plan."""
        index, one = numbered
        match one:
            case Post(order):
                await self._post(order, self._stage.began + timedelta(milliseconds=index))
            case Cancel(number, cancellation):
                await self._accepted[number].wait()
                if number in self._stage.tally.orders:
                    self._stage.tally.canceled(number)
                    await self._stage.shop.cancel(number, f"cancellation {cancellation}")

    async def _post(self, order: ShopOrder, demanded_at: datetime) -> None:
        tally, number = self._stage.tally, order.number
        tally.posted(number, time.monotonic(), ships_whole=ships_whole(order))
        by_kafka = number not in self._canceled and self._stage.marketplace.takes(order)
        try:
            await (self._stage.marketplace if by_kafka else self._stage.shop).order(order, demanded_at)
        except Refused as error:
            tally.withdrawn(number)
            self.refused[str(error)] = self.refused.get(str(error), 0) + 1
            return
        finally:
            self._accepted[number].set()
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._answered[number].wait()


# ---------------------------------------------------------------- stories


async def _tell_stories(stage: Stage) -> None:
    for number, tell in enumerate((_restock, _adjustment, _cancellation), start=1):
        await stage.feed.until_quiet(QUIET_SECONDS, STORY_SECONDS)
        story = await tell(stage)
        stage.facts.stories.append(story)
        stage.facts.complaints += [f"story {number}: {complaint}" for complaint in story.complaints]
        stage.display.show(looks.story(number, story))


async def _restock(stage: Stage) -> Story:
    choice = stories.choose_restock(stage.tally, stage.receipts)
    if choice is None:
        return Story(*stories.RESTOCK, skipped="no order waits for anything")
    receipt = Receipt(choice.sku, choice.place.warehouse, choice.place.bin, choice.units)
    since = time.monotonic()
    await _receive(stage, [receipt], "delivery")
    stage.receipts.append(receipt)
    milliseconds = await _await_story(stage, since, lambda: stories.restock_is_over(choice, stage.tally))
    return stories.tell_restock(choice, stage.tally, milliseconds)


async def _adjustment(stage: Stage) -> Story:
    choice = stories.choose_adjustment(stage.tally, stage.receipts)
    if choice is None:
        return Story(*stories.ADJUSTMENT, skipped="no SKU that lies in one bin is held by three orders or more")
    since = time.monotonic()
    await stage.shop.adjust(choice.sku, choice.place, -choice.units, "fell from the fork lift")
    milliseconds = await _await_story(stage, since, lambda: stories.adjustment_is_over(choice, stage.tally))
    return stories.tell_adjustment(choice, stage.tally, milliseconds)


async def _cancellation(stage: Stage) -> Story:
    choice = stories.choose_cancellation(stage.tally)
    if choice is None:
        return Story(*stories.CANCEL, skipped="no order holds what another waits for")
    since = time.monotonic()
    stage.tally.canceled(choice.number)
    await stage.shop.cancel(choice.number, "the customer changed their mind")
    milliseconds = await _await_story(stage, since, lambda: stories.cancellation_is_over(choice, stage.tally))
    return stories.tell_cancellation(choice, stage.tally, milliseconds)


async def _await_story(stage: Stage, since: float, is_over: Callable[[], bool]) -> float:
    """Wait until it has happened and nothing more comes; returns how long it took, without the waiting for nothing."""
    await stage.feed.until(is_over, STORY_SECONDS)
    milliseconds = (time.monotonic() - since) * 1000
    await stage.feed.until_quiet(QUIET_SECONDS, STORY_SECONDS)
    return round(milliseconds, 1)


async def _compare(stage: Stage) -> None:
    """Orders follows the same events: its list says the same of every order, as soon as it has read them."""
    with step(stage.display, stage.facts, "compare", "asking orders for its list") as done:
        told = {number: stage.tally.outcome(number) for number in stage.tally.orders}
        listed = await stage.shop.allocation_statuses()
        for _ in range(LOOKS):
            if listed == told:
                break
            await asyncio.sleep(QUIET_SECONDS)
            listed = await stage.shop.allocation_statuses()
        other = sorted(number for number in told.keys() | listed.keys() if told.get(number) != listed.get(number))
        done(f"orders' own list agrees with the events for {len(told) - len(other):,} of {len(told):,} orders")
    if other:
        number = other[0]
        stage.facts.complaints.append(
            f"orders has another status than the events told for {len(other)} orders, the first is {number}: "
            f"{listed.get(number)} there, {told.get(number)} on Kafka"
        )


async def _prove(stage: Stage) -> None:
    with step(stage.display, stage.facts, "verify", "proving the books") as done:
        report, _ = await prove(stage.settings)
        told = await verify_log(stage.settings)
        checks = [*report.checks, *told.report.checks]
        stage.facts.checks = [Check(check.name, check.counted, tuple(check.problems)) for check in checks]
        rows, records = sum(check.counted for check in report.checks), sum(one.records for one in told.reach)
        done(f"{len(report.checks)} checks over {rows:,} rows, {len(told.report.checks)} against {records:,} records of the topics")
    stage.facts.complaints += [f"{check.name}: {problem}" for check in stage.facts.checks for problem in check.problems[:1]]
    stage.display.show(looks.proof(stage.facts.checks))
