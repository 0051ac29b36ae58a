"""A project in another language than English."""

from tests.checks.check import expect_none
from tests.support.project import BakedProject


def test_the_tests_of_a_project_pass_in_another_language(all_on: BakedProject) -> None:
    """Whoever sets LANGUAGE_CODE on the first day must not find them broken."""
    settings = all_on.path / "config" / "settings.py"
    text = settings.read_text()
    assert 'LANGUAGE_CODE = "en-us"' in text
    settings.write_text(text.replace('LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "de"'))
    expect_none(
        all_on.faults_of(
            *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow")
        )
    )
