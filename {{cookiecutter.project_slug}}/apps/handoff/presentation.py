"""How jobs and durations are written for people, in the admin and on the terminal."""

from datetime import datetime, timedelta

from django.utils import timezone


def age(time: timedelta) -> str:
    """Write a duration with its two largest units: ``2 h 5 min``."""
    seconds = int(time.total_seconds())
    units = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))
    for unit, size, smaller, small in units:
        if seconds >= size:
            rest = seconds % size // small
            return f"{seconds // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds} s"


def short_name(name: str) -> str:
    """Write the path of a job's function without what all paths share: ``orders.send``."""
    return name.removeprefix("apps.").replace(".tasks.", ".")


def jobs(number: int) -> str:
    """Write a number of jobs."""
    return f"{number} job{'' if number == 1 else 's'}"


def next_run(name: str, at: datetime | None) -> str:
    """Write when a periodic job runs next."""
    if at is None:
        return f"{short_name(name)} has no next run yet: no relay has started."
    return f"{short_name(name)} runs next at {timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}."
