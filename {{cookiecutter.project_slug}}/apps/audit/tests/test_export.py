"""The trail as lines of JSON."""

import json
from typing import Any

import pytest

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
    [line] = exported("--model=audit_examples.author", "--actor=ada", "--since=2020-01-31")
    fields = line["fields"]
    assert (fields["action"], fields["object_repr"]) == ("create", "Zoë\nLine two")
    assert (fields["actor"], fields["source"]) == (ada.pk, "job")
    assert fields["changes"] == {"name": {"old": None, "new": "Zoë\nLine two"}}
