from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("handoff", "0002_next")]

    operations = [
        migrations.CreateModel(
            name="PeriodicJob",
            fields=[
                ("name", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("next_at", models.DateTimeField(verbose_name="next run")),
            ],
            options={"ordering": ["next_at"]},
        ),
    ]
