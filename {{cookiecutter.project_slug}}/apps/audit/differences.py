"""Old and new values as texts: where they differ, in pieces short enough to be shown."""

import re
from dataclasses import dataclass, field
from typing import Final

# Texts of fewer characters are shown without marks.
LONG: Final = 40
# Characters of what the texts share that are shown on either side of the difference.
CONTEXT: Final = 150
# Other characters that are shown.
MOST: Final = 2000
LONGEST_WORD: Final = 40
WORD: Final = re.compile(r"\w")
# What a terminal obeys instead of showing it, what turns the direction of text round, and halves
# of characters, which JSON may hold and which nothing can write as UTF-8.
UNSHOWN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# The pieces of a text, each with whether it differs, and how many characters are left out.
type Shown = tuple[list[tuple[str, bool]], int]


def harmless(text: str) -> str:
    """Escape what is not to be seen in a text, as JSON does: ``\\u001b``."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value.

    They are what is shown of the value. ``old_parts`` and ``new_parts`` are the same in pieces,
    each with whether it is different, and ``old_more`` and ``new_more`` say how many characters
    follow.
    """

    label: str
    old: str | None = None
    new: str | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    masked: bool = False

    def __post_init__(self) -> None:
        self.label = harmless(self.label)
        self.added, self.removed = [*map(harmless, self.added)], [*map(harmless, self.removed)]
        old, new = compare(self.old or "", self.new or "")
        (self.old_parts, self.old_more), (self.new_parts, self.new_more) = old, new
        if self.old is not None:
            self.old = "".join(text for text, _ in self.old_parts)
        if self.new is not None:
            self.new = "".join(text for text, _ in self.new_parts)


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
    return [(harmless(part), marked) for part, marked in parts if part], more


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
