"""Old and new values as texts, from where they differ, and short enough to be shown."""

import re
from dataclasses import dataclass
from typing import Final

# Characters that are shown of a text, and at least before the first that differs.
MOST: Final = 2000
CONTEXT: Final = 100
# Characters that a terminal obeys instead of showing them, that change the direction of text, or
# that are halves of characters. JSON may hold such halves, but UTF-8 cannot.
UNSHOWN: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Escape what is not to be seen in a text, as JSON does: ``\\u001b``."""
    return UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@dataclass
class Change:
    """One changed field, in words; ``old`` and ``new`` are None for no value."""

    label: str
    old: str | None = None
    new: str | None = None
    masked: bool = False

    def __post_init__(self) -> None:
        old, new = self.old or "", self.new or ""
        first, least = 0, min(len(old), len(new))
        # In pieces: a loop over millions of characters takes too long.
        while first < least and old[first : first + CONTEXT] == new[first : first + CONTEXT]:
            first += CONTEXT
        self.label = harmless(self.label)
        self.old = None if self.old is None else _shown(self.old, first - CONTEXT)
        self.new = None if self.new is None else _shown(self.new, first - CONTEXT)


def _shown(text: str, start: int) -> str:
    """Show a text from about ``start`` on; a short one from its beginning."""
    start = start if start > 0 and len(text) > MOST else 0
    left = len(text) - start - MOST
    end = f"… {left:,} characters more" if left > 0 else ""
    return harmless(f"{'…' * (start > 0)}{text[start : start + MOST]}{end}")
