from django.db import migrations, models
from django.db.models import Index, Q
from django.db.models.functions import Now

from apps.handoff.models import time_ordered_id


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Handoff",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=time_ordered_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("backend", models.CharField(blank=True, max_length=64)),
                ("queue", models.CharField(max_length=255)),
                ("priority", models.SmallIntegerField(default=0)),
                ("arguments", models.TextField()),
                ("actor", models.CharField(blank=True, max_length=255)),
                ("request_id", models.CharField(blank=True, max_length=255)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sent", "Sent"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        db_default="waiting",
                        max_length=7,
                    ),
                ),
                ("handed_off_at", models.DateTimeField(db_default=Now())),
                ("due_at", models.DateTimeField(db_default=Now(), null=True)),
                ("sends", models.IntegerField(db_default=0)),
                ("attempts", models.IntegerField(db_default=0)),
                ("worker", models.CharField(blank=True, db_default="", max_length=255)),
                ("sent_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("last_attempted_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("return_value", models.TextField(blank=True, db_default="")),
                ("error", models.CharField(blank=True, db_default="", max_length=255)),
                ("traceback", models.TextField(blank=True, db_default="")),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    Index(fields=["due_at"], name="handoff_due", condition=Q(due_at__isnull=False)),
                    Index(
                        fields=["queue"], name="handoff_sent", condition=Q(sent_at__isnull=False)
                    ),
                    Index(
                        fields=["failed_at"],
                        name="handoff_failed",
                        condition=Q(failed_at__isnull=False),
                    ),
                    Index(
                        fields=["queue", "-priority", "due_at", "id"],
                        name="handoff_next",
                        condition=Q(due_at__isnull=False),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PeriodicJob",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("next_at", models.DateTimeField(verbose_name="next run")),
            ],
            options={"ordering": ["next_at"]},
        ),
    ]
