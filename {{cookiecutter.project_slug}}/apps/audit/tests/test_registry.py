"""The settings or a call say which models are audited. Mistakes are refused."""

from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import connection

from apps.audit import registry, triggers

from .conftest import register
from .examples.models import Article
from .trail import changes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def test_masked_fields_leave_their_name_only() -> None:
    register(Article, mask=["title", "tags"], name="body")
    article = Article.objects.create(title="One", access_token="hunter2")
    Article.objects.update(title="Two")
    article.tags.create(slug="a")
    masked = {"masked": True}
    assert changes(article)[0]["access_token"] == masked
    assert changes(article)[1:] == [{"title": masked}, {"tags": masked}]


def test_a_missing_trigger_is_reported() -> None:
    config: Any = apps.get_app_config("audit")
    assert len([*config.effects()]) == len(registry.recorded())
    triggers.Triggers(connection, {"audit_examples_article"}).drop()
    found = run_checks(databases=["default"])
    assert {one.id for one in found} == {"audit.W001"}
    assert config.health() == "degraded"
    assert all("Run `manage.py migrate --database default`." in str(one.msg) for one in found)
    triggers.install(connection)
    assert not run_checks(databases=["default"])
