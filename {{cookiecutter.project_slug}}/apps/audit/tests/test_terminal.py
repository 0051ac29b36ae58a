"""The trail on a terminal: lines that can be read."""

from typing import Any

import pytest

from apps.core.actor import acting_as

from .examples.models import Article
from .test_seals import said

pytestmark = pytest.mark.django_db


def test_a_history_can_be_read_in_lines(admin_user: Any) -> None:
    with acting_as(admin_user, source="request"):
        article = Article.objects.create(title="First", access_token="one")
    Article.objects.update(title="Second", access_token="two")
    changed, created = said("history", "audit_examples.Article", str(article.pk)).split("\n\n")[:2]
    assert "Changed by the system, command" in changed
    assert "  Headline\n    - First\n    + Second\n" in changed
    assert "  Access token: secret, not recorded" in changed
    assert "Created by admin, request" in created
