"""Numbers of a producer in a shared file, which can be read also after it was killed."""

import mmap
import struct
from pathlib import Path
from typing import Final

FIELDS: Final = ("started", "last", "longest", "refused", "rolled_back")
FORMAT: Final = struct.Struct("d" * len(FIELDS))


class Slot:
    """Numbers shared between processes.

    - ``started``: the start of the current write on the monotonic clock, 0 between two writes
    - ``last`` and ``longest``: the seconds of the last and the longest write
    - ``refused``: the number of writes that raised
    - ``rolled_back``: the number of writes that were rolled back on purpose
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(FORMAT.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), FORMAT.size)

    def read(self, field: str) -> float:
        """Return one of the numbers."""
        return float(FORMAT.unpack(self._memory[:])[FIELDS.index(field)])

    def add_one(self, field: str) -> None:
        """Count one more."""
        self.write(field, self.read(field) + 1)

    def write(self, field: str, value: float) -> None:
        """Change one of the numbers."""
        struct.pack_into("d", self._memory, FIELDS.index(field) * 8, value)
