"""Settings that cannot work are refused by a system check."""

from collections.abc import Callable

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

pytestmark = pytest.mark.django_db(transaction=True)


def test_unknown_options_are_refused(settings: Settings) -> None:
    options = {"RETRY": 3, "BACKOFF": 1}
    backend = "apps.handoff.backend.OutboxBackend"
    settings.TASKS = {**settings.TASKS, "default": {"BACKEND": backend, "OPTIONS": options}}

    (error,) = [check for check in run_checks() if check.id == "handoff.E002"]
    assert error.msg == "TASKS['default']['OPTIONS'] has no RETRY."


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("carrier-pigeon://ann:geheim@loft", "begins with none of memory://, redis://"),
        ("redis://:ge/heim@127.0.0.1:6379/0", "is not a URL"),
        ("127.0.0.1:6379", "begins with none of"),
        ("redis:/ann:geheim@loft", "begins with none of"),
        ("filesystem:///srv/jobs", "Write memory://"),
    ],
)
def test_an_unknown_broker_is_named_without_the_password(
    url: str, sentence: str, use_broker: Callable[[str], None]
) -> None:
    use_broker(url)

    errors = [check for check in run_checks() if check.id == "handoff.E001"]
    assert sentence in errors[0].msg
    assert "heim" not in errors[0].msg
