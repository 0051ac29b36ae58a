from typing import Any

from django.db import router

from apps.core import modules


class WelcomeEmailConfig(modules.ModuleConfig):
    name = "apps.welcome_email"
    verbose_name = "Welcome e-mail"
    summary = "One welcome mail for every new user, sent after the commit."

    def forget(self, user_pk: Any, using: str) -> int:
        """Remove the language of a user, and the last error, which may contain the address."""
        from .models import Welcome

        if not router.allow_migrate_model(using, Welcome):
            return 0
        nothing = {"language": "", "last_error": ""}
        found = Welcome.objects.using(using).filter(user_id=user_pk).exclude(**nothing)
        return found.update(**nothing)

    def ready(self) -> None:
        from . import receivers  # noqa: F401
