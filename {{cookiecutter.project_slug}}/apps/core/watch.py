"""Where another app can watch receivers and jobs run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Watcher(Protocol):
    """What is called in the place of a receiver, or around a job.

    ``path`` is the dotted path of the function, ``named`` the keyword arguments of the signal.
    """

    def run(
        self,
        function: Callable[..., Any],
        path: str,
        sender: Any,
        named: dict[str, Any],
        *,
        after_commit: bool = False,
    ) -> Any:
        """Call a receiver and return its result, which is a coroutine for an async one."""

    def job(self, path: str) -> AbstractContextManager[None]:
        """Return a context in which a job runs in this process."""


# Set in the ``ready()`` of the app that watches; a dispatch costs nothing more while it is None.
watcher: Watcher | None = None


def job(path: str) -> AbstractContextManager[None]:
    """Return the context in which a job runs in this process."""
    return nullcontext() if watcher is None else watcher.job(path)
