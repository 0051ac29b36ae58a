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
