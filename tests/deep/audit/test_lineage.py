"""A model that moves to another app, as a step that changes no table says, keeps its history."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.state import ModelState, ProjectState

from apps.audit.lineage import Names, plan
from apps.audit.models import Entry

pytestmark = pytest.mark.django_db

KEY: Any = [("id", models.BigAutoField(primary_key=True))]


def migrate(before: str, *steps: tuple[str, Any], backwards: bool = False) -> None:
    """Plan steps of apps, each of which changes the state alone, and run what the plan adds."""
    state = ProjectState()
    app, name = before.split(".")
    state.add_model(ModelState(app, name, KEY, {"db_table": "old_thing"}))
    migrations = []
    for label, step in steps:
        migration: Any = Migration("0001", label)
        migration.operations = [step]
        migrations.append((migration, backwards))
    plan(migrations, state.apps)
    for migration, _ in migrations:
        for step in migration.operations[::-1] if backwards else migration.operations:
            if isinstance(step, operations.RunPython):
                note: Any = step.code
                note(None, SimpleNamespace(connection=connection))


def of_state(*steps: Any, tables: Any = ()) -> Any:
    return operations.SeparateDatabaseAndState([*tables], [*steps])


def label_of_today() -> str:
    return Names(Entry.objects.all()).label(Entry.objects.get(action="create"))


@pytest.mark.parametrize("table", ["old_thing", ""])
def test_a_model_that_moves_to_another_app(table: str) -> None:
    Entry(action="create", model_label="old.Thing", object_id="1").save()
    moves = [operations.AlterModelTable("Thing", "new_item")] if not table else []
    options = {"db_table": table} if table else {}
    go = ("old", of_state(operations.DeleteModel("Thing"), tables=moves))
    come = ("new", of_state(operations.CreateModel("Item", KEY, options)))
    migrate("old.Thing", *([go, come] if moves else [come, go]))
    assert label_of_today() == "new.Item"
    if table:
        migrate("new.Item", go, come, backwards=True)
        assert label_of_today() == "old.Thing"


def test_a_model_that_is_made_is_no_other_one() -> None:
    Entry(action="create", model_label="old.Thing", object_id="1").save()
    migrate(
        "old.Thing",
        ("new", operations.CreateModel("Item", KEY, {"db_table": "old_thing", "managed": False})),
        ("new", of_state(operations.CreateModel("Other", KEY))),
    )
    assert label_of_today() == "old.Thing"
