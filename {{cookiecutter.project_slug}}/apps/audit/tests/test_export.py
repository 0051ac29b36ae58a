"""The trail as lines of JSON."""

import json
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder

from apps.audit.models import Entry
from apps.core.actor import acting_as

from .examples.models import Author, Tag
from .test_seals import said

pytestmark = pytest.mark.django_db


def exported(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said("export", *arguments).splitlines()]


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    user = django_user_model.objects.create_user("ada")
    with acting_as(user, source="job", request_id="request-1"):
        Author.objects.create(name="Zoë\nLine two")
    Tag.objects.create(slug="django")
    return user


def test_each_entry_is_one_line(ada: Any) -> None:
    lines = exported()
    assert [line["pk"] for line in lines] == sorted(Entry.objects.values_list("pk", flat=True))
    entry = Entry.objects.get(model_label="audit_examples.Author")
    [line] = exported("--model=audit_examples.author", "--actor=ada", "--since=2020-01-31")
    assert line == {
        "pk": entry.pk,
        "model": "audit.entry",
        "fields": {
            "created_at": DjangoJSONEncoder().default(entry.created_at),
            "action": "create",
            "model_label": "audit_examples.Author",
            "object_id": entry.object_id,
            "object_repr": "Zoë\nLine two",
            "actor": ada.pk,
            "actor_name": "ada",
            "source": "job",
            "request_id": "request-1",
            "changes": {"name": {"old": None, "new": "Zoë\nLine two"}},
        },
    }
