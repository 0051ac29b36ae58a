"""Every form of the project that posts has Django's token against forgery."""

import re
from pathlib import Path
from typing import Final

import pytest

APPS: Final = Path(__file__).resolve().parents[3]
POSTING_FORM: Final = re.compile(r"<form\b[^>]*\bmethod=[\"']?post\b.*?</form>", re.I | re.S)

FORMS: Final = [
    pytest.param(form[0], id=f"{path.relative_to(APPS).as_posix()}-{number}")
    for path in sorted(APPS.glob("*/templates/**/*.html"))
    for number, form in enumerate(POSTING_FORM.finditer(path.read_text(encoding="utf-8")), start=1)
]


def test_forms_are_found() -> None:
    assert len(FORMS) >= 3


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_is_posted_has_a_token(form: str) -> None:
    assert "% csrf_token %" in form
