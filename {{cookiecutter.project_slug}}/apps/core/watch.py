"""Where another app can watch receivers and jobs run."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

# Set in the ``ready()`` of the app that watches; a dispatch costs nothing more while it is None.
# ``watcher.run(function, path, sender, named, after_commit=False)`` calls a receiver and returns
# its result; ``watcher.job(path)`` is a context in which a job runs in this process.
watcher: Any = None


def job(path: str) -> AbstractContextManager[None]:
    """Return the context in which a job runs in this process."""
    context: AbstractContextManager[None] = watcher.job(path) if watcher else nullcontext()
    return context
