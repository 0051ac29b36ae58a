"""The trail as lines of JSON."""

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from apps.audit import export
from apps.audit.models import Entry
from apps.core.actor import acting_as

from .examples.models import Author, Tag

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH", 2)


def exported(*arguments: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("audit", "export", *arguments, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    user = django_user_model.objects.create_user("ada")
    with acting_as(user, source="job", request_id="request-1"):
        author = Author.objects.create(name="Zoë\nLine two")
        author.name = "New"
        author.save()
    Tag.objects.create(slug="django")
    return user


def test_each_entry_is_one_line(ada: Any) -> None:
    lines = exported()
    assert [line["id"] for line in lines] == list(
        Entry.objects.order_by("pk").values_list("pk", flat=True)
    )
    entry = Entry.objects.filter(model_label="audit_examples.Author", action="create").get()
    assert next(line for line in lines if line["id"] == entry.pk) == {
        "id": entry.pk,
        "time": entry.created_at.isoformat(),
        "action": "create",
        "model": "audit_examples.Author",
        "object_id": entry.object_id,
        "object": "Zoë\nLine two",
        "actor_id": str(ada.pk),
        "actor": "ada",
        "source": "job",
        "request_id": "request-1",
        "changes": {"name": {"old": None, "new": "Zoë\nLine two"}},
    }


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--model=audit_examples.author"], 2),
        (["--model=gone.Model"], 0),
        (["--object=django"], 1),
        (["--actor=ada"], 2),
        (["--actor=ada", "--action=update"], 1),
        (["--source=job"], 2),
        (["--source=request"], 0),
        (["--model=audit_examples.Tag", "--since=2020-01-31"], 1),
        (["--model=audit_examples.Tag", "--since=2999-01-31"], 0),
        (["--model=audit_examples.Tag", "--before=2020-01-31T12:00"], 0),
    ],
)
def test_filters(ada: Any, arguments: list[str], count: int) -> None:
    assert len(exported(*arguments)) == count
