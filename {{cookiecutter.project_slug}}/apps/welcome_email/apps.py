from apps.core import modules


class WelcomeEmailConfig(modules.ModuleConfig):
    name = "apps.welcome_email"
    verbose_name = "Welcome e-mail"
    summary = "One welcome mail for every new user, sent after the commit."

    def ready(self) -> None:
        from . import receivers  # noqa: F401
