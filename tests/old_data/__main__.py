"""`python -m tests.old_data COMMIT`, or `make record-release COMMIT=…`: run a release of this repository and keep what it leaves behind."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from pydantic import SecretStr

from shared.local.stack import LocalStack
from shared.settings import Settings
from tests.old_data.recording import Recording, gaps, recordings, take, write
from tests.old_data.release import Release, abbreviated, checked_out
from tests.old_data.scenes import PEPPER, play
from tests.support.allocator import MERCHANT


def main(commit: str) -> None:
    """Record it, once: what a release left behind does not change."""
    name = abbreviated(commit)
    if name in recordings():
        sys.exit(f"{recordings()[name]} is there already, and is kept as it is")
    with tempfile.TemporaryDirectory() as scratch, checked_out(name, Path(scratch) / "code") as code:
        recording = asyncio.run(_record(name, code, Path(scratch)))
    assert not list(gaps(recording)), "every offset can be had again"
    path = write(recording)
    print(f"{path}: {len(recording.records)} records, {len(recording.tables)} tables at {recording.revision}, {path.stat().st_size} bytes")


async def _record(name: str, code: Path, scratch: Path) -> Recording:
    stack = LocalStack(scratch / "servers", tied_to_parent=True, brief=True)
    await asyncio.to_thread(stack.start)
    try:
        settings = Settings(kafka=stack.kafka_bootstrap, postgres=SecretStr(stack.postgres_dsn), api_key_pepper=SecretStr(PEPPER))
        release = Release(code, settings, scratch)
        try:
            await asyncio.to_thread(release.command, "migrate")
            key = json.loads(release.command("key", "create", MERCHANT, "--json"))["api_key"]
            await play(release, stack, key)
        finally:
            release.end()
        return await take(settings, name, key)
    finally:
        await asyncio.to_thread(stack.clean)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
