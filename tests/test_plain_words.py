"""The report on sentences finds what it is for, and the rewritten documents pass it."""

import re
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from scripts.plain_words import (
    LISTED,
    Sentence,
    code,
    documents,
    sentences,
    sentences_of_code,
)
from tests.support.programs import clean_environment, run
from tests.support.repository import copied_repository
from tests.support.template import ROOT, TEMPLATE

LONG = " ".join(["one"] * 31).capitalize() + "."
EXAMPLES = {
    "bear": "Each step has to bear a repetition.",
    "anew": "The relay sends it anew.",
    "of its own": "The module has a table of its own.",
    "but for": "All are told, but for the author.",
    "nobody": "Nobody is told.",
    "whoever": "It runs, whoever has connected it.",
    "stands": "The reason stands in the log.",
    "comes of": "Look at what comes of it.",
    "What … (as a subject)": "What is gone cannot be found.",
}
PAGE = """\
# A heading is no sentence. None.

First one. Second `with. Code()` here, e.g. [a link](target.md). See version 6.1 of it!
It goes
on here.

| A | table. Is none. |
|---|---|

- An item
  of two lines
- Another: *yes*. And more.

{% if cookiecutter.audit %}
1. Chosen {{ cookiecutter.project_slug }}.
{% endif %}
{% if cookiecutter.audit %}- One way.{% else %}- Another way.{% endif %}

```python
No = "code. Here."
```
"""


def plain_words(*options: str | Path) -> CompletedProcess[str]:
    script = ROOT / "scripts" / "plain_words.py"
    return run([sys.executable, script, *options], folder=ROOT, environment=clean_environment())


def test_every_document_passes() -> None:
    done = plain_words("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_documents_of_template_and_project_are_read() -> None:
    names = {text.name for text in documents(ROOT)}
    assert {"README.md", "docs/architecture.md"} < names
    assert any(name.endswith("apps/audit/README.md") for name in names)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (LONG, "31 words; at most 30"),
        ("Each step has to bear being repeated.", "“bear” is on the list"),
        ("- What is gone cannot be found.", "“What … (as a subject)” is on the list"),
    ],
)
def test_what_is_planted_in_a_document_is_found(tmp_path: Path, sentence: str, said: str) -> None:
    root = copied_repository(tmp_path / "repository").root
    page = root / "docs" / "ways-in.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    page.write_text("\n".join([*lines, "", sentence, ""]), encoding="utf-8")
    done = plain_words("--check", "--root", root)
    assert done.returncode == 1
    assert done.stdout.startswith(f"docs/ways-in.md:{len(lines) + 2}: {said}"), done.stdout


def test_a_document_of_long_sentences_is_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "new.md").write_text(f"{'Word ' * 16}.\n", encoding="utf-8")
    done = plain_words("--check", "--root", tmp_path)
    assert done.stdout == "docs/new.md: 16.0 words a sentence; at most 15\n"


@pytest.mark.parametrize("name", LISTED)
def test_every_phrase_is_found_and_nothing_else(name: str) -> None:
    assert Sentence(EXAMPLES[name], 1).listed == [name]
    assert Sentence("What happens when a beard understands somebody?", 1).listed == []


def test_a_page_is_split_into_sentences() -> None:
    assert [(each.line, each.words, each.text) for each in sentences(PAGE)] == [
        (3, 2, "First one."),
        (3, 6, "Second § here, e.g. a link."),
        (3, 5, "See version 6.1 of it!"),
        (3, 4, "It goes on here."),
        (10, 5, "An item of two lines"),
        (12, 2, "Another: *yes*."),
        (12, 2, "And more."),
        (15, 2, "Chosen §."),
        (17, 2, "One way."),
        (17, 2, "Another way."),
    ]


def test_docstrings_and_comments_are_read() -> None:
    text = (
        '"""A module."""\n\n\ndef f(a: int) -> None:\n    """Do it.\n\n    Args:\n'
        '        a: the number.\n        b: another\n            one.\n    """\n'
        "    # A comment\n    # of two lines. And more.\n    g(a)  # noqa: F821\n"
    )
    found = [re.sub(r"\s+", " ", each.text) for each in sentences_of_code(text)]
    assert found[:2] == ["A module.", "Do it."]
    assert "a: the number." in found
    assert "b: another one." in found
    assert found[-2:] == ["A comment of two lines.", "And more."]


def test_the_report_has_a_row_for_every_document_and_app() -> None:
    done = plain_words()
    assert done.returncode == 0
    for text in [*documents(ROOT), *code(ROOT)]:
        assert text.row() in done.stdout
    assert f"{TEMPLATE.source.name}/apps/taskboard/" in done.stdout
