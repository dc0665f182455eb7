"""What decides besides state, messages and time, as a short fingerprint that every batch row keeps: a replay under another one may come
out otherwise. Pure. The code's own constants are not in it: they belong to the code's version."""

import hashlib
import json
from dataclasses import asdict
from typing import Any


def rules_hash(*deciding: Any) -> str:
    """Of dataclasses of policy and limits: the same for equal ones, in every process and in whatever order their mappings were written."""
    told = json.dumps([(type(one).__name__, asdict(one)) for one in deciding], sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
