"""Where two texts differ, in pieces that are short enough to be shown."""

import re
from dataclasses import dataclass
from typing import Final

# Texts of fewer characters are shown without marks.
LONG: Final = 40
# Characters of what the texts share that are shown on either side of the difference.
CONTEXT: Final = 150
# Other characters that are shown.
MOST: Final = 2000
LONGEST_WORD: Final = 40
WORD: Final = re.compile(r"\w")


@dataclass(slots=True)
class Shown:
    """A text in pieces, each with whether it differs, and how many characters are left out."""

    parts: list[tuple[str, bool]]
    more: int = 0


def compare(old: str, new: str) -> tuple[Shown, Shown]:
    """Mark what two texts do not share, from the first word that differs to the last one."""
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    shortest = min(len(old), len(new))
    if shortest < LONG or start + end < shortest / 3:
        # A mark on nearly everything would say nothing.
        return _side(old, 0, len(old), mark=False), _side(new, 0, len(new), mark=False)
    return _side(old, start, len(old) - end), _side(new, start, len(new) - end)


def _side(text: str, start: int, end: int, *, mark: bool = True) -> Shown:
    """Show a text from a little before ``start`` to a little after ``end``."""
    parts = [(f"{'…' * (start > CONTEXT)}{text[max(start - CONTEXT, 0) : start]}", False)]
    parts.append((text[start : min(end, start + MOST)], mark))
    more = len(text) - start - MOST if end - start > MOST else 0
    if not more:
        rest = f"{text[end : end + CONTEXT]}{'…' * (len(text) - end > CONTEXT)}"
        parts.append((rest, False))
    return Shown([part for part in parts if part[0]], more)


def _alike(one: str, other: str) -> int:
    """Count the characters with which two texts begin alike, up to the end of a word."""
    same, most = 0, min(len(one), len(other))
    while same < most:
        # By halves: a loop over millions of characters takes too long.
        middle = (same + most + 1) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            most = middle - 1
    if WORD.match(one, same) or WORD.match(other, same):
        first = max(same - LONGEST_WORD, 0)
        while same > first and WORD.match(one, same - 1):
            same -= 1
    return same
