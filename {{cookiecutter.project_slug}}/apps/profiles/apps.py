from typing import ClassVar

from apps.core import modules


class ProfilesConfig(modules.ModuleConfig):
    name = "apps.profiles"
    verbose_name = "Profiles"
    summary = "A profile for every user, created in the same transaction as the user."
    navigation = (("Your profile", "profiles:edit"),)
    personal: ClassVar = {"profiles.Profile": ("display_name", "biography", "website")}

    def ready(self) -> None:
        from . import receivers  # noqa: F401
