"""How many examples a property tries: in the gate as many as its budget allows, a hundred times as many where somebody goes exploring."""

import os
from typing import Any

from hypothesis import settings

EXPLORING = 100


def effort(examples: int, **more: Any) -> settings:
    """For `@effort(50)` above a test, or as the settings of a state machine: so many examples in the gate."""
    exploring = os.environ.get("HYPOTHESIS_PROFILE") == "explore"
    return settings(max_examples=examples * EXPLORING if exploring else examples, deadline=None, **more)
