"""What an app tells the home page and the navigation about itself."""

from collections.abc import Sequence
from typing import ClassVar

from django.apps import AppConfig, apps


class ModuleConfig(AppConfig):
    """The configuration of an app of this project.

    ``summary`` is one sentence for the home page; ``navigation`` lists labels
    and URL names of pages for people who are logged in.
    """

    summary: ClassVar[str] = ""
    navigation: ClassVar[Sequence[tuple[str, str]]] = ()


def module_configs() -> list[ModuleConfig]:
    """List the configurations of the apps of this project, in the order of installation."""
    return [config for config in apps.get_app_configs() if isinstance(config, ModuleConfig)]
