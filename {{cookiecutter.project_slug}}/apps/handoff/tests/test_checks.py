"""Settings that cannot work are refused by a system check."""

from collections.abc import Callable

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

pytestmark = pytest.mark.django_db(transaction=True)


def test_wrong_options_are_refused(settings: Settings) -> None:
    options = {"RETRY": 3, "BACKOFF": 1, "LEASE": 0}
    backend = "apps.handoff.backend.OutboxBackend"
    settings.TASKS = {**settings.TASKS, "default": {"BACKEND": backend, "OPTIONS": options}}

    (error,) = [check for check in run_checks() if check.id == "handoff.E002"]
    assert error.msg == "TASKS['default']['OPTIONS'] cannot have LEASE = 0, RETRY = 3."


@pytest.mark.parametrize(
    "url",
    [
        "carrier-pigeon://ann:geheim@loft",
        "redis://:ge/heim@127.0.0.1:6379/0",
        "127.0.0.1:6379",
        "redis:/ann:geheim@loft",
        "redis://:12/heim@127.0.0.1",
        "redis://:12#heim@127.0.0.1",
        "amqp://ann:geheim@loft//?ssl=false",
        "redis://:geheim@loft/0?tls=true",
        "filesystem:///srv/jobs",
    ],
)
def test_an_unknown_broker_is_named_without_the_password(
    url: str, use_broker: Callable[[str], None]
) -> None:
    use_broker(url)

    errors = [check for check in run_checks() if check.id == "handoff.E001"]
    assert "is no URL that begins with one of memory://, redis://" in errors[0].msg
    assert "Write memory://" in errors[0].msg
    assert "In a password write / as %2F" in errors[0].msg
    assert "heim" not in errors[0].msg
