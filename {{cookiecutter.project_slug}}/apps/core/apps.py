from apps.core import modules


class CoreConfig(modules.ModuleConfig):
    name = "apps.core"
    verbose_name = "Core"
    summary = "Receivers, the acting user, jobs after the commit, this page and the health check."
