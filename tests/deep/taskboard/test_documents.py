"""Every link of the README and of the learning path leads to a file that is there."""

from pathlib import Path

import pytest

from .documents import CODE_LINK, DOCUMENTS, LEARNING_PATH, LINK, README, rows

HEAD = "| Pattern | Code | Test |"

# The patterns that the module promises to show.
PATTERNS = """
    pre_save; an invariant belongs in the model; post_save, created; post_save, updated;
    pre_delete, as a veto; post_delete, to clean up files; m2m_changed; pre_init and post_init;
    request_started and request_finished; got_request_exception; registration in ready();
    custom signals; typed payloads; send_robust; a receiver factory for several models;
    the current user in a receiver; work on commit; muting in a block;
    handing off to a background job; bulk writes; an async receiver; asend; testing: a signal is sent;
    testing: a receiver is called; testing: muted; testing: on-commit callbacks;
    testing: rollback; testing: a temporary receiver instead of a patch
"""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = [link for link in LINK.findall(text) if not link.startswith(("https://", "#"))]
    assert paths
    for path in paths:
        assert (document.parent / path.partition("#")[0]).exists(), path
    lines = [path for path in paths if "#L" in path]
    assert len(lines) == len(CODE_LINK.findall(text)), "each link with a line names its code"


def test_the_table_shows_every_pattern_with_code_and_test() -> None:
    table = rows(README.read_text(encoding="utf-8"), HEAD)
    names = [cells[0].replace("`", "") for cells in table]
    assert names == [" ".join(name.split()) for name in PATTERNS.split(";")]
    for pattern, code, test in table:
        assert CODE_LINK.search(code), f"{pattern} has no code"
        tests = [link for link in CODE_LINK.finditer(test) if link["name"].startswith("test_")]
        assert tests, f"{pattern} has no test"
        assert all(link["path"].startswith("tests/test_") for link in tests)


def test_each_pattern_of_the_learning_path_has_a_mistake_and_code() -> None:
    path = LEARNING_PATH.read_text(encoding="utf-8").partition("\n## The built-in signals\n")[0]
    sections = path.split("\n### ")[1:]
    assert len(sections) > len(PATTERNS.split(";"))
    for section in sections:
        assert "- Mistake: " in section, section
        assert CODE_LINK.search(section), section
