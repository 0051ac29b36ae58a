from collections.abc import Iterator

from django.core.checks import Tags, register
from django.db import connections

from apps.core import modules


class AuditConfig(modules.ModuleConfig):
    name = "apps.audit"
    verbose_name = "Audit trail"
    summary = "A trail of who changed what, from what to what."

    def ready(self) -> None:
        from . import checks, receivers, registry  # noqa: F401

        registry.register_settings()
        register(checks.check_settings)
        register(checks.check_triggers, Tags.database)

    def health(self) -> modules.Health:
        """Say whether the triggers that record are there, and are what they should be."""
        from . import triggers

        faulty = any(triggers.faults(connections[alias]) for alias in connections)
        return modules.Health.DEGRADED if faulty else modules.Health.OK

    def effects(self) -> Iterator[modules.Effect]:
        """Say that every write to an audited model leaves an entry, which no signal tells of."""
        from . import registry, triggers

        for model in registry.recorded():
            yield modules.Effect(
                sender=model._meta.label,
                event="every write",
                when="in transaction",
                function=triggers.install,
                summary="A trigger of the database records the change in the audit trail.",
            )
