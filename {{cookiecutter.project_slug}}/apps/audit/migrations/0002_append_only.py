"""Triggers that refuse to change or delete what is on the trail."""

from typing import Any

from django.db import migrations

from apps.audit import append_only


def install(apps: Any, schema_editor: Any) -> None:
    append_only.install(schema_editor.connection)


def remove(apps: Any, schema_editor: Any) -> None:
    append_only.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunPython(install, remove, hints={"model_name": "entry"})]
