"""One measurement, and the clock and the CPU counter behind it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one row gave; None: the row does not ask. CPU is the whole machine's, all processes together, so it is only true on
    one otherwise idle. `memory_mib`: the most that one of the measured processes had in use so far."""

    orders_per_second: float | None = None
    cpu_us_per_order: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_mib: float | None = None


class Stopwatch:
    """Wall clock and CPU of the machine since it was made."""

    def __init__(self) -> None:
        self._began, self._cpu_began = time.perf_counter(), machine_cpu_seconds()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def measured(self, orders: int, latencies: Sequence[float] = (), memory_mib: float | None = None) -> Measurement:
        """Everything so far, for `orders` orders; `latencies` in seconds."""
        seconds, cpu = self.seconds, machine_cpu_seconds() - self._cpu_began
        return Measurement(orders / seconds, cpu / orders * 1e6, percentile_ms(latencies, 0.5), percentile_ms(latencies, 0.99), memory_mib)


def percentile_ms(seconds: Sequence[float], share: float) -> float | None:
    """The value that `share` of them do not exceed, in milliseconds; None of nothing."""
    return sorted(seconds)[int(len(seconds) * share)] * 1e3 if seconds else None


def machine_cpu_seconds() -> float:
    """User, nice, system, interrupts: what all processes and the kernel have used since boot."""
    user, nice, system, _, _, interrupts, soft = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def peak_memory_mib(process: int) -> float:
    """The most memory that a process had in use so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (kib,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kib) / 1024
