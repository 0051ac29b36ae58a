from django.conf import settings

from apps.core import modules


class CoreConfig(modules.ModuleConfig):
    name = "apps.core"
    verbose_name = "Core"
    summary = "Receivers, the acting user, jobs after the commit, this page and the health check."

    def ready(self) -> None:
        from . import checks, tracing  # noqa: F401

        tracing.active = settings.SIGNAL_TRACING
