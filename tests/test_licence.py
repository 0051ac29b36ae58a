"""The licence of a project: its text in a file, its name in pyproject.toml, or neither."""

import hashlib
import re

import pytest
from packaging.licenses import canonicalize_license_expression

from tests.checks import content
from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.template import ROOT, TEMPLATE, Combination

NONE, *LICENCES = TEMPLATE.settings["license"]
# Of the texts as their authors publish them.
PUBLISHED = {
    "Apache-2.0": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "GPL-3.0-or-later": "3972dc9744f6499f0f9b2dbf76696f2ae7ad8af9b23dde66d6af86c9dfb36986",
}
AUTHOR = 'Ada "O\'Hara" Łovelace & <Söhne>'


def test_each_licence_has_a_text_and_no_other_has() -> None:
    texts = {path.stem for path in (ROOT / "templates" / "licenses").iterdir()}
    assert texts == set(LICENCES)


@pytest.mark.parametrize("licence", LICENCES)
def test_a_project_has_the_licence_that_was_chosen(bakery: Bakery, licence: str) -> None:
    project = bakery.bake(TEMPLATE, Combination(()), license=licence, author_name=AUTHOR)
    assert project.pyproject["project"]["license"] == licence
    assert canonicalize_license_expression(licence) == licence
    assert f"[{licence}](LICENSE)" in project.read("README.md")
    text = project.read("LICENSE")
    if licence in PUBLISHED:
        assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED[licence]
    else:
        # A year would be another one in each update.
        assert f"\nCopyright (c) {AUTHOR}\n\n" in text
    expect_none([*content.file_set(project), *content.leftovers(project)])


def test_a_project_without_a_licence_says_nothing_of_one(bakery: Bakery) -> None:
    project = bakery.project(Combination(()))
    assert "license" not in project.pyproject["project"]
    assert "LICENSE" not in project.files
    assert not re.search("licen[cs]e", project.read("README.md"), re.IGNORECASE)
