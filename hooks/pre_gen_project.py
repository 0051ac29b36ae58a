"""Refuse answers that break the rules, and folders that hold a project.

Answers from a replay file never pass the prompts. So the rules are checked again here, before the
first file is written.
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing it would cost more time than the rest of the hook
    from typing import Any, Final

ANSWERS: Final = r"""{{ cookiecutter|tojson }}"""
TEMPLATE_ROOT: Final = r"""{{ cookiecutter|template_root }}"""


def main() -> int:
    """Return the exit status: 0 when all is well, 1 when something is refused."""
    sys.path.append(TEMPLATE_ROOT)
    from django_signals_rules import refusal

    answers = json.loads(ANSWERS)
    sentence = (
        refusal_of_folder(os.getcwd())
        or refusal_of_release(answers, TEMPLATE_ROOT)
        or refusal(answers, answers["_modules"])
    )
    if sentence:
        print(sentence, file=sys.stderr)
        return 1
    return 0


def refusal_of_folder(folder: str) -> str | None:
    """Say why a project cannot go into a folder; None when it can.

    When cookiecutter may overwrite, it deletes the whole folder ``apps``, also the owner's apps.
    """
    if not os.path.lexists(os.path.join(folder, "apps")):
        return None
    return (
        f"{folder} is refused: it holds a project, whose folder apps would be deleted."
        " To change a project, use cruft update; to replace it, delete it first."
    )


def refusal_of_release(answers: dict[str, Any], template: str) -> str | None:
    """Say why answers of a replay belong to another release; None when they do not.

    A replay contains the registry of an earlier time, with its pins and paths.
    """
    with open(os.path.join(template, "cookiecutter.json"), encoding="utf-8") as file:
        settings = json.load(file)
    if all(answers.get(name) == value for name, value in settings.items() if is_private(name)):
        return None
    return (
        "The replay is refused: its answers were given to another release of the template."
        " Give them again, or bake that release: --checkout and its tag with the address of the template,"
        " git checkout and its tag in a folder that holds it."
    )


def is_private(name: str) -> bool:
    """Say whether cookiecutter passes a setting on unchanged."""
    return name.startswith("_") and not name.startswith("__")


if __name__ == "__main__":
    sys.exit(main())
