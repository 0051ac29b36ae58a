"""Lets another app watch receivers and jobs."""

from typing import Any

# The ``ready()`` of that app sets an object with two methods.
# ``run(function, path, sender, named, after_commit=False)`` calls a receiver.
# ``job(path)`` returns the context in which a job runs.
watcher: Any = None
