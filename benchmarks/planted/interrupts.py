"""How a run ends when a person interrupts it."""

import signal
import sys
from collections.abc import Callable
from typing import Any


def run_until_interrupted(main: Callable[[], None]) -> None:
    """Run a program; let SIGTERM end it like Ctrl+C, and neither disturb its tidying up."""

    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
