"""Old and new values as texts: where they differ, in pieces short enough to be shown."""

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

# Characters that are shown of a difference, and of what the texts share on either side of it.
MOST: Final = 2000
CONTEXT: Final = 150
LONGEST_WORD: Final = 40
# What a terminal obeys instead of showing it, what turns the direction of text round, and halves
# of characters, which JSON may hold and which nothing can write as UTF-8.
UNSHOWN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# The pieces of a text, each with whether it differs.
type Parts = list[tuple[str, bool]]


def harmless(text: str) -> str:
    """Escape what is not to be seen in a text, as JSON does: ``\\u001b``."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value.

    They are what is shown of the value, and ``old_parts`` and ``new_parts`` the same in pieces.
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
        self.old_parts, self.new_parts = compare(self.old or "", self.new or "")
        self.old = None if self.old is None else "".join(text for text, _ in self.old_parts)
        self.new = None if self.new is None else "".join(text for text, _ in self.new_parts)


def compare(old: str, new: str) -> tuple[Parts, Parts]:
    """Mark what two texts do not share, from the first word that differs to the last one."""
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    if start + end <= min(len(old), len(new)) / 3:
        # A mark on nearly everything would say nothing.
        start = end = 0
    return _side(old, start, end), _side(new, start, end)


def _side(text: str, start: int, end: int) -> Parts:
    """Show a text without ``start`` and ``end`` characters that are the same in the other one."""
    different, after = text[start : len(text) - end], text[len(text) - end :]
    left = len(different) - MOST
    parts = [
        (f"{'…' * (start > CONTEXT)}{text[max(start - CONTEXT, 0) : start]}", False),
        (different[:MOST], start + end > 0),
        (f" … {left:,} characters more … " if left > 0 else "", False),
        (f"{after[:CONTEXT]}{'…' * (end > CONTEXT)}", False),
    ]
    return [(harmless(part), differs) for part, differs in parts if part]


def _alike(one: str, other: str) -> int:
    """Count the characters with which two texts begin alike, up to the beginning of a word."""
    # By halves: a loop over millions of characters takes too long.
    sizes = range(1, min(len(one), len(other)) + 1)
    same = bisect_left(sizes, True, key=lambda size: one[:size] != other[:size])
    word = one.rfind(" ", max(same - LONGEST_WORD, 0), same) + 1
    return word or same
