"""What is audited is said by a list in the settings or by a call, and mistakes are refused."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.audit import registry

from .examples.models import Article
from .trail import actions, changes, last_change

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["accounts.Usr"], "'accounts.Usr', which AUDITED_MODELS .* mean 'accounts.User'?"),
        (["nowhere.Thing"], "cannot find the model 'nowhere.Thing'"),
        (["User"], "cannot find the model 'User'"),
        ("accounts.User", r"must be a list of labels, for example \['accounts.User'\]"),
        (["audit.Entry"], "cannot record itself"),
        (["audit.Seal"], "cannot record itself"),
        (["auth.User"], "has no table: it is swapped for accounts.User"),
    ],
)
def test_a_mistake_in_the_settings_is_refused(labels: Any, words: str, settings: Any) -> None:
    settings.AUDITED_MODELS = labels
    with pytest.raises(ImproperlyConfigured, match=words):
        registry.register_settings()


def test_excluded_fields_leave_no_entry() -> None:
    Article.objects.create(title="Before", body="Text")
    registry.register(Article, exclude=["body", "tags"])
    article = Article.objects.create(title="One", body="Text")
    article.body = "New"
    article.save()
    article.save(update_fields=["body"])
    article.tags.create(slug="a")
    assert actions(article) == ["create"]
    assert "body" not in last_change(article)


def test_masked_fields_leave_their_name_only() -> None:
    registry.register(Article, mask=["title", "tags"])
    article = Article.objects.create(title="One")
    article.title = "Two"
    article.save()
    article.tags.create(slug="a")
    masked = {"masked": True}
    assert changes(article)[1:] == [{"title": masked}, {"tags": masked}]
    assert last_change(article).get("access_token", masked) == masked
