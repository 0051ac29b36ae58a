"""Build something once, however many test processes want it."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Build ``folder`` unless that was done before, by this or by another process.

    After a build that fails, the next call tries again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_name(f"{folder.name}.done")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (done.exists() and folder.exists()):
            build(folder)
            done.touch()
    return folder
