from apps.core import modules


class AuditConfig(modules.ModuleConfig):
    name = "apps.audit"
    verbose_name = "Audit trail"
    summary = "A trail of who changed what, from what to what."

    def ready(self) -> None:
        from . import interception, registry

        interception.install()
        registry.register_settings()
