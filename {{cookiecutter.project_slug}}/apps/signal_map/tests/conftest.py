"""Models to write to, rows to name in code, and a note of every signal that is sent."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.test import override_settings

from apps.core import watch
from apps.core.signals import bulk_created, bulk_deleted, bulk_updated
from apps.signal_map import tracing
from apps.signal_map.live import named_signals

SENT = (
    *(pre_save, post_save, pre_delete, post_delete, m2m_changed),
    *(bulk_created, bulk_updated, bulk_deleted),
)
SIGNALS = {signal: name.name for signal, name in named_signals().items() if signal in SENT}


@pytest.fixture(scope="package")
def models(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """Install the example models, and take them back in the end."""
    firing = "apps.signal_map.tests.firing"
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, firing]):
        found = list(apps.get_app_config("firing").get_models())
        concrete = [model for model in found if not model._meta.proxy]
        with django_db_blocker.unblock(), connection.schema_editor() as editor:
            for model in concrete:
                editor.create_model(model)
        yield {model.__name__: model for model in found}
        with django_db_blocker.unblock(), connection.schema_editor() as editor:
            for model in reversed(concrete):
                editor.delete_model(model)


@pytest.fixture
def world(models: dict[str, Any], db: None, tmp_path: Path) -> dict[str, Any]:
    """Create rows, and return everything that the code of ``what-fires.md`` names."""

    def create(model: str, **values: Any) -> Any:
        return models[model].objects.create(**values)

    author, tag, library = create("Author"), create("Tag"), create("Library")
    book, lent, long = (create("Book", name=name) for name in ("book", "lent", "long"))
    create("Book", author=author)
    book.tags.add(tag)
    loan = create("Loan", book=lent)
    create("Chapter", book=long)
    create("Room", library=library)
    create("Card", library=library)
    fixture = tmp_path / "books.json"
    row = {"model": "firing.book", "pk": 1000, "fields": {"name": "a", "tags": [tag.pk]}}
    fixture.write_text(json.dumps([row]), encoding="utf-8")
    return models | {
        "author": author,
        "tag": tag,
        "other_tag": create("Tag"),
        "library": library,
        "book": book,
        "lent": lent,
        "long": long,
        "loan": loan,
        "old_book": create("OldBook"),
        "novel": create("Novel"),
        "fixture": str(fixture),
        "call_command": call_command,
    }


@pytest.fixture
def heard(world: dict[str, Any], connections_as_before: None) -> list[str]:
    """Note the signals that are sent from now on, in the words of ``what-fires.md``."""
    said: list[str] = []

    def listen(sender: Any, signal: Any, **named: Any) -> None:
        keys = named.get("pk_set", named.get("pks"))
        words = [SIGNALS[signal], sender.__name__, named.get("action")]
        words += ["reverse" if named.get("reverse") else "", "" if keys is None else str(len(keys))]
        words += [word for word in ("created", "raw") if named.get(word)]
        for word in ("fields", "update_fields"):
            words += [f"{word}={','.join(sorted(named[word]))}"] if named.get(word) else []
        said.append(" ".join(filter(None, words)))

    book: Any = world["Book"]
    for signal in SIGNALS:
        for sender in (*apps.get_app_config("firing").get_models(), book.tags.through):
            signal.connect(listen, sender=sender, weak=False)
    return said


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Time receivers during a test, and forget it afterwards."""
    settings.SIGNAL_TRACING = True
    monkeypatch.setattr(watch, "watcher", tracing)
    monkeypatch.setattr(tracing, "_kept", deque(maxlen=tracing.KEPT_REQUESTS))
