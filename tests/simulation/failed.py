"""How the simulation says no."""

import re

REFUTED = {
    "AssertionError": "the product's assertion",
    "ValueError": "a constraint of the store",
    "Halted": "a halt",
    "WasKnown": "taken for new and known",
}
"""What else refutes the product, by the exception, beside a check of the simulation. Anything else is a fault of the simulation, or a
planted bug that does not fit the product any more."""


class Failed(Exception):
    """The simulation refuted a promise: which, a colon, and the details. Replay it with `make simulate SEED=… ARGS=--trace`."""


def is_refuted(reason: str) -> bool:
    """Whether this reason says something of the product."""
    return reason.partition(": ")[0] in (Failed.__name__, *REFUTED)


def kind_of(reason: str) -> str:
    """What failures have in common: what noticed them, without the details."""
    error, _, text = reason.partition(": ")
    if error == Failed.__name__:
        return text.partition(":")[0][:70]
    said = re.sub(r"\d+", "n", text.rpartition(": ")[2])
    plain = error == AssertionError.__name__ and said and "/" not in said
    return f"{REFUTED[error]}: {said}" if plain else REFUTED.get(error, reason[:70])
