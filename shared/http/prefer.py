"""`Prefer: wait=N` (RFC 7240): how long the caller would wait for the decision itself."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[;,]|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preference:
    """What was asked for, cut to what is allowed. 0: answer at once."""

    wait_seconds: float = 0.0


def preference(asked: str, longest_seconds: float) -> Preference:
    """Read the header. What is not understood is ignored, as the RFC says."""
    found = _WAIT.search(asked)
    return Preference(min(float(found[1]), longest_seconds)) if found else Preference()


async def _of(
    request: Request, prefer: Annotated[str, Header(description="`wait=N`: answer with the decision within N seconds")] = ""
) -> Preference:
    # Several Prefer headers mean the same as one with commas.
    asked = ",".join(request.headers.getlist("prefer")) or prefer
    return preference(asked, request.app.state.platform.settings.max_wait_seconds)


Prefer = Annotated[Preference, Depends(_of)]
