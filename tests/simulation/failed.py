"""How the simulation says no."""


class Failed(Exception):
    """The simulation refuted a promise. Replay it with `python -m tests.simulation --seed SEED --trace`."""
