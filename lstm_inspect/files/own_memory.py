"""How much memory this process has, to which a limit adds what a task may take."""

import sys
from pathlib import Path


def own_memory() -> int | None:
    """The address space of this process in bytes; None if the system does not say.

    Only Linux says it, and only where /proc is mounted.
    """
    if sys.platform != "linux":
        return None
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize()
