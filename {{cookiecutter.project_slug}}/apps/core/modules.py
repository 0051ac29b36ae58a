"""What an app tells the home page, the navigation and the health check about itself."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from django.apps import AppConfig, apps


class Health(StrEnum):
    """How well a part of the project does its work."""

    OK = "ok"
    # Somebody has to look at it, and this process can serve requests all the same.
    DEGRADED = "degraded"
    # This process cannot serve requests: whoever balances the load should use another.
    UNAVAILABLE = "unavailable"


class ModuleConfig(AppConfig):
    """The configuration of an app of this project.

    ``summary`` is one sentence for the home page; ``navigation`` lists labels
    and URL names of pages for people who are logged in.
    """

    summary: ClassVar[str] = ""
    navigation: ClassVar[Sequence[tuple[str, str]]] = ()

    def health(self) -> Health | None:
        """Say how the app does; None when it has nothing to say.

        The health check asks every few seconds and after the database has answered: a query
        that an index answers is fine, one that counts is not. What it raises is logged, and
        the app then counts as degraded.
        """
        return None


def module_configs() -> list[ModuleConfig]:
    """List the configurations of the apps of this project, in the order of installation."""
    return [config for config in apps.get_app_configs() if isinstance(config, ModuleConfig)]
