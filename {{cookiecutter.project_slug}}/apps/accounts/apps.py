from typing import ClassVar

from apps.core import modules


class AccountsConfig(modules.ModuleConfig):
    name = "apps.accounts"
    verbose_name = "Accounts"
    summary = "The project's own user model, with sign-up, login and password reset."
    personal: ClassVar = {
        "accounts.User": ("username", "first_name", "last_name", "email", "confirmed_email")
    }
