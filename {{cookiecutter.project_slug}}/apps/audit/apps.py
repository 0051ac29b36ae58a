from collections.abc import Iterator

from django.core.checks import register

from apps.core import modules


class AuditConfig(modules.ModuleConfig):
    name = "apps.audit"
    verbose_name = "Audit trail"
    summary = "A trail of who changed what, from what to what."

    def ready(self) -> None:
        from . import checks, interception, registry

        checks.refuse_local_times()
        interception.install()
        registry.register_settings()
        register(checks.check_what_cannot_be_seen)

    def effects(self) -> Iterator[modules.Effect]:
        """Say that every write to an audited model leaves an entry, which no signal tells of."""
        from . import interception, registry

        for model in registry.recorded_models():
            yield modules.Effect(
                sender=model._meta.label,
                event="every write",
                when="in transaction",
                function=interception.install,
                summary="Record the change in the audit trail, also that of a bulk write.",
            )
