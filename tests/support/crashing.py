"""Where each service may be made to die: the crash points that it passes."""

STOPPING = "stopping"
IN_THE_ALLOCATOR = {
    "claimed": 3,
    "polled": 4,
    "fenced": 4,
    "decided": 4,
    "saved": 4,
    "before_commit": 4,
    "committed": 4,
    "half_published": 2,
    "published": 4,
    STOPPING: 1,
}
"""The point, and a how-manieth time of passing it that comes in any work."""
IN_THE_API = ("relay_published", "command_written", "command_committed")
