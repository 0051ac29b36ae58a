"""Refuse answers that break the rules, also where the prompts were skipped.

Answers that come from a replay file never pass the prompts, so the rules are
asked once more here, before the first file is written.
"""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing it would cost more time than the rest of the hook
    from typing import Final

ANSWERS: Final = r"""{{ cookiecutter|tojson }}"""
TEMPLATE_ROOT: Final = r"""{{ cookiecutter|template_root }}"""


def main() -> int:
    """Return the exit status: 0 when the answers are fine, 1 when one is refused."""
    sys.path.append(TEMPLATE_ROOT)
    from template_rules import refusal

    answers = json.loads(ANSWERS)
    sentence = refusal(answers, answers["_modules"])
    if sentence:
        print(sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
