from typing import Any

from django.db import migrations, models


def mark_running(apps: Any, schema_editor: Any) -> None:
    """Let the relay find what runs by the time at which it was sent, which is now kept."""
    rows = apps.get_model("handoff", "Handoff").objects.using(schema_editor.connection.alias)
    rows.filter(status="running").update(sent_at=models.F("last_attempted_at"))


class Migration(migrations.Migration):
    dependencies = [("handoff", "0001_initial")]

    operations = [
        migrations.RunPython(mark_running, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="handoff",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["queue", "-priority", "due_at", "id"],
                name="handoff_next",
            ),
        ),
    ]
