"""Where a demo is told: a terminal with a live part, a pipe or a log in plain lines, or nowhere on standard output (`--json`)."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from services.console.demo import looks
from services.console.demo.tally import Tally, Telling

FRAMES_PER_SECOND = 12
PLAIN_SECONDS = 1.0
SHOWN = 40


class Display(Protocol):
    """What the script tells the reader."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def begin(self, text: str) -> None:
        """A step begins; `text` says what is being done."""

    def detail(self, text: str) -> None:
        """The step is at this now. Called from any thread."""

    def done(self, seconds: float, told: str) -> None:
        """The step is done."""

    def flowing(self, tally: Tally, total: int) -> AbstractContextManager[Callable[[Telling], None]]:
        """While the block runs, show the events it is called with, and the tally."""

    def show(self, renderable: RenderableType) -> None:
        """Something that stays."""


class Screen:
    """A terminal: what is done stays, the present step or the stream of events lives below it.

    Frames are drawn by a thread of our own, under one lock with everything that is printed: Live's own thread computes where the cursor
    is before it writes, and a line printed in between leaves half a frame on the screen.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._doing, self._detail, self._since = "", "", time.monotonic()
        self._spinner = Spinner("dots", style="cyan")
        self._recent: deque[Telling] = deque(maxlen=SHOWN)
        self._flow: tuple[Tally, int, float] | None = None
        self._live = Live(console=console, get_renderable=self._now, auto_refresh=False, transient=True)
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._drawing = threading.Thread(target=self._draw, name="demo frames", daemon=True)

    def __enter__(self) -> Self:
        self._console.print(looks.title())
        self._live.start()
        self._drawing.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._doing, self._flow = "", None
        self._over.set()
        self._drawing.join()
        self._live.stop()

    def _draw(self) -> None:
        while not self._over.wait(1 / FRAMES_PER_SECOND):
            with self._lock:
                self._live.refresh()

    def begin(self, text: str) -> None:
        self._doing, self._detail, self._since = text, "", time.monotonic()

    def detail(self, text: str) -> None:
        self._detail = text

    def done(self, seconds: float, told: str) -> None:
        self._doing = self._detail = ""
        self.show(looks.step_line(seconds, told))

    @contextmanager
    def flowing(self, tally: Tally, total: int) -> Iterator[Callable[[Telling], None]]:
        self._recent.clear()
        self._flow = (tally, total, time.monotonic())
        try:
            yield self._recent.append
        finally:
            self._flow = None

    def show(self, renderable: RenderableType) -> None:
        with self._lock:
            self._console.print(renderable)

    def _now(self) -> RenderableType:
        if self._flow is not None:
            tally, total, since = self._flow
            size = self._console.size
            return looks.flow(tally, total, tuple(self._recent), time.monotonic() - since, size.width, size.height)
        if not self._doing:
            return Text("")
        line = Table.grid(padding=(0, 1))
        for _ in range(4):
            line.add_column(no_wrap=True)
        took = Text(f"{time.monotonic() - self._since:7.1f} s ", style="dim")
        line.add_row(took, self._spinner, self._doing, Text(f"· {self._detail}" if self._detail else "", style="dim"))
        return Group(line)


class Plain:
    """No terminal: every step a line, while orders flow a line a second, and what stays. `quiet`: steps only (beside `--json`)."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._next_at = 0.0

    def __enter__(self) -> Self:
        if not self._quiet:
            self._console.print(looks.title())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def begin(self, text: str) -> None:
        return None

    def detail(self, text: str) -> None:
        return None

    def done(self, seconds: float, told: str) -> None:
        self._console.print(looks.step_line(seconds, told))

    @contextmanager
    def flowing(self, tally: Tally, total: int) -> Iterator[Callable[[Telling], None]]:
        self._next_at = time.monotonic() + PLAIN_SECONDS

        def tell(telling: Telling) -> None:
            if time.monotonic() >= self._next_at and not self._quiet:
                self._next_at = time.monotonic() + PLAIN_SECONDS
                self._console.print(
                    f"             {tally.settled:,} of {total:,} answered; latest: {looks.stream_text(telling)}", soft_wrap=True
                )

        yield tell

    def show(self, renderable: RenderableType) -> None:
        if not self._quiet:
            self._console.print(renderable)


def display(*, as_json: bool) -> Display:
    """The right one for where standard output goes."""
    if as_json:
        return Plain(Console(stderr=True, highlight=False, soft_wrap=True), quiet=True)
    console = Console(highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return Screen(console)
    return Plain(Console(highlight=False, width=int(os.environ.get("COLUMNS", "100"))))
