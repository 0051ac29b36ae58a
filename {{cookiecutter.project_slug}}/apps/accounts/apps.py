from apps.core import modules


class AccountsConfig(modules.ModuleConfig):
    name = "apps.accounts"
    verbose_name = "Accounts"
    summary = "The project's own user model, with sign-up, login and password reset."

    def ready(self) -> None:
        from . import receivers  # noqa: F401
