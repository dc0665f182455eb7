"""One measurement, and the clock and the CPU counter behind it."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one row gave; None: the row does not ask. CPU is the whole machine's, all processes together, so it is only true on
    one otherwise idle. `memory_mib`: the most that one of the measured processes had in use so far."""

    orders_per_second: float | None = None
    cpu_us_per_order: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_mib: float | None = None

    def with_latencies(self, latencies: Sequence[float]) -> "Measurement":
        """The same with the percentiles of these, in seconds."""
        return replace(self, p50_ms=percentile_ms(latencies, 0.5), p99_ms=percentile_ms(latencies, 0.99))


class Stopwatch:
    """Wall clock and CPU since it was made: of the machine, or whatever `cpu` counts, in seconds."""

    def __init__(self, cpu: Callable[[], float] | None = None) -> None:
        self._cpu = cpu or machine_cpu_seconds
        self._began, self._cpu_began = time.perf_counter(), self._cpu()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def measured(self, orders: int, latencies: Sequence[float] = (), memory_mib: float | None = None) -> Measurement:
        """Everything so far, for `orders` orders; `latencies` in seconds."""
        seconds, cpu = self.seconds, self._cpu() - self._cpu_began
        return Measurement(orders / seconds, cpu / orders * 1e6, percentile_ms(latencies, 0.5), percentile_ms(latencies, 0.99), memory_mib)


def percentile_ms(seconds: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed, in milliseconds; None of nothing."""
    return sorted(seconds)[int(len(seconds) * share)] * 1e3 if seconds else None


def machine_cpu_seconds() -> float:
    """User, nice, system, interrupts: what all processes and the kernel have used since boot."""
    user, nice, system, _, _, interrupts, soft = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(roots: Iterable[int]) -> float:
    """What these processes and all below them have used: true also where others use the machine. One that has ended counts with whoever
    waited for its end, as Postgres does for its connections."""
    used = 0.0
    for root in map(psutil.Process, roots):
        times = root.cpu_times()
        used += times.user + times.system + times.children_user + times.children_system
        for below in root.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                used += sum(below.cpu_times()[:2])
    return used


def peak_memory_mib(process: int) -> float:
    """The most memory that a process had in use so far."""
    (kib,) = _status_kib(process, "VmHWM:")
    return kib / 1024


def own_memory_bytes(root: int) -> float:
    """What this process and all below it have in use that no file stands behind and that they share with nobody."""
    found = 0
    for pid in [root, *[one.pid for one in psutil.Process(root).children(recursive=True)]]:
        with suppress(FileNotFoundError, ProcessLookupError):
            found += sum(_status_kib(pid, "RssAnon:"))
    return found * 1024.0


def _status_kib(process: int, name: str) -> list[int]:
    """A figure of /proc/PID/status; none of a process that has ended and was not waited for."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith(name)]
