from apps.core import modules


class ProfilesConfig(modules.ModuleConfig):
    name = "apps.profiles"
    verbose_name = "Profiles"
    summary = "A profile for every user, created in the same transaction as the user."
    navigation = (("Your profile", "profiles:edit"),)

    def ready(self) -> None:
        from . import receivers  # noqa: F401
