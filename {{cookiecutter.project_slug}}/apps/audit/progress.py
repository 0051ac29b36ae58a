"""A bar that shows how far a long command is, for people who watch it."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

WIDTH: Final = 24
# Seconds between two drawings: enough for the eye, and nothing for the processor.
PAUSE: Final = 0.1


class Bar:
    """Draws on one line of a terminal; anywhere else it says nothing."""

    def __init__(self, stream: Any, verb: str, total: int) -> None:
        """Make a bar.

        Args:
            stream: where to draw, ``self.stderr`` of a command.
            verb: what is being done, such as ``"Sealing"``.
            total: how much there is to do; 0 for nothing.
        """
        self.stream, self.verb, self.total = stream, verb, max(total, 1)
        self.shown = stream.isatty() and total > 0
        self.started = monotonic()
        self.drawn = self.started

    def __call__(self, done: int) -> None:
        """Show how much is done."""
        now = monotonic()
        if self.shown and now - self.drawn >= PAUSE:
            self.drawn = now
            self._draw(min(done, self.total), now - self.started)

    def clear(self) -> None:
        """Take the bar away, so that what is printed next has the line to itself."""
        if self.shown and self.drawn > self.started:
            self.stream.write("\r\x1b[K", ending="")
            self.stream.flush()

    def _draw(self, done: int, seconds: float) -> None:
        share = done / self.total
        full = round(share * WIDTH)
        left = f", {_clock(seconds / share - seconds)} left" if share > 0.01 else ""
        bar = "#" * full + "." * (WIDTH - full)
        text = f"{self.verb} [{bar}] {share:4.0%}, {done:,} of {self.total:,}{left}"
        self.stream.write(f"\r{text}\x1b[K", ending="")
        self.stream.flush()


@contextmanager
def bar(stream: Any, verb: str, total: int) -> Iterator[Bar]:
    """Show a bar for a block."""
    shown = Bar(stream, verb, total)
    try:
        yield shown
    finally:
        shown.clear()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02}"
