"""Jobs start after the commit, and never after a rollback."""

import logging
from typing import Any

import pytest
from django.db import transaction
from django.tasks import TaskResultStatus, task, task_backends
from django.tasks.exceptions import InvalidTask

from apps.accounts.models import User
from apps.core.actor import acting_as, current_actor, current_source
from apps.core.jobs import hand_off, hand_off_many

ran: list[Any] = []


@task
def note(value: Any, database: str = "") -> Any:
    ran.append(value)
    return value


@task
def fail() -> None:
    raise RuntimeError("no luck")


@task
def note_actor() -> None:
    actor = current_actor()
    ran.append(actor.get_username() if actor else "nobody")


@pytest.fixture(autouse=True)
def in_process(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "apps.core.jobs.AfterCommitBackend"}}
    ran.clear()


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("queue", [hand_off, lambda job, value: job.enqueue(value)])
def test_a_job_runs_after_the_commit(queue: Any) -> None:
    with transaction.atomic():
        result = queue(note, 1)
        assert ran == []
        assert result.status == TaskResultStatus.READY
    assert ran == [1]
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert result.return_value == 1


@pytest.mark.parametrize("queue", [hand_off, lambda job, value: job.enqueue(value)])
def test_a_job_of_a_rolled_back_transaction_never_runs(queue: Any) -> None:
    with transaction.atomic():
        queue(note, 1)
        with transaction.atomic():
            queue(note, 2)
            transaction.set_rollback(True)
    with transaction.atomic():
        queue(note, 3)
        transaction.set_rollback(True)
    assert ran == [1]


def test_without_a_transaction_a_job_runs_at_once() -> None:
    hand_off(note, 1)
    assert ran == [1]


@task
def note_database(value: Any, using: str) -> None:
    ran.append((value, using))


@task(takes_context=True)
def note_by_name(context: Any, *values: Any, using: str = "unknown") -> None:
    ran.append((*values, using))


@task
def note_all(**named: Any) -> None:
    ran.append(named)


@pytest.mark.parametrize("other", [False, True])
def test_a_job_with_the_parameter_using_gets_its_database(other_database: str, other: bool) -> None:
    using = other_database if other else "default"
    hand_off(note_database, 1, using=using)
    hand_off(note_database, 1, "archive", using=using)
    hand_off(note_by_name, 1, 2, 3, using=using)
    hand_off(note_all, database="archive", using=using)
    hand_off_many(note_database, [(2,), (3,)], using=using)
    hand_off_many(note_by_name, [(4, 5)], using=using)
    assert ran == [
        (1, using),
        (1, "archive"),
        (1, 2, 3, using),
        {"database": "archive"},
        (2, using),
        (3, using),
        (4, 5, using),
    ]


def test_many_jobs_run_after_the_commit_and_never_after_a_rollback(settings: Any) -> None:
    with transaction.atomic():
        hand_off_many(note, [(1,), (2,)])
        assert ran == []
    with transaction.atomic():
        hand_off_many(note, [(3,)])
        transaction.set_rollback(True)
    assert ran == [1, 2]
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    hand_off_many(note, [(1,), (2,)])
    backend: Any = task_backends["default"]
    assert [result.args for result in backend.results] == [[1], [2]]


def test_a_job_that_fails_is_logged_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="django.tasks"), transaction.atomic():
        failed = hand_off(fail)
        hand_off(note, 1)
        User.objects.create(username="ada")
    assert ran == [1]
    assert User.objects.exists()
    assert failed is not None
    assert failed.status == TaskResultStatus.FAILED
    assert "no luck" in caplog.text


def test_an_argument_that_is_no_json_is_refused_before_the_commit() -> None:
    with pytest.raises(TypeError), transaction.atomic():
        hand_off(note, object())


def test_a_job_that_the_backend_cannot_run_is_refused_before_the_commit() -> None:
    with pytest.raises(InvalidTask, match="Queue"):
        hand_off(note.using(queue_name="nowhere"), 1)


def test_the_database_of_the_transaction_is_the_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def on_commit(callback: Any, using: str, robust: bool) -> None:
        used.append(using)
        assert robust

    monkeypatch.setattr(transaction, "on_commit", on_commit)
    hand_off(note, 1, using="archive")
    note.enqueue(1)
    assert used == ["archive", "default"]


def test_options_name_the_database_of_a_plain_enqueue(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASKS = {
        "default": {
            "BACKEND": "apps.core.jobs.AfterCommitBackend",
            "OPTIONS": {"DATABASE": "archive"},
        }
    }
    used: list[str] = []
    monkeypatch.setattr(transaction, "on_commit", lambda _, using, robust: used.append(using))
    note.enqueue(1)
    assert used == ["archive"]


def test_any_other_backend_is_given_the_job_after_the_commit(settings: Any) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    backend: Any = task_backends["default"]
    with transaction.atomic():
        assert hand_off(note, 1) is None
        assert backend.results == []
    assert [result.args for result in backend.results] == [[1]]


def test_the_actor_of_the_transaction_acts_in_the_job() -> None:
    with acting_as(User(username="ada")), transaction.atomic():
        hand_off(note_actor)
    assert ran == ["ada"]


@task
def note_source() -> None:
    ran.append(current_source())


def test_a_job_knows_that_it_is_one() -> None:
    hand_off(note_source)
    assert ran == ["job"]
    assert current_source() == "command"


def test_any_other_backend_waits_for_the_database_that_is_named(
    settings: Any, other_database: str
) -> None:
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
    backend: Any = task_backends["default"]
    with transaction.atomic(using=other_database):
        hand_off(note, 1, using=other_database)
        assert backend.results == []
    assert [result.args for result in backend.results] == [[1]]
