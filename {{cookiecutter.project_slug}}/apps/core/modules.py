"""What an app tells the other parts of the project about itself."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from django.apps import AppConfig, apps
from django.conf import settings
from django.http import HttpRequest


class Health(StrEnum):
    """How well a part of the project does its work."""

    OK = "ok"
    # Somebody has to look at it, and this process can serve requests all the same.
    DEGRADED = "degraded"
    # This process cannot serve requests: whoever balances the load should use another.
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an app does when something happens to a sender, although it connects no receiver."""

    sender: str  # a model's label
    event: str  # such as "every write"
    when: str  # such as "in transaction"
    function: Callable[..., Any]  # does it, or sets it up
    summary: str


class ModuleConfig(AppConfig):
    """The configuration of an app of this project.

    ``summary`` is one sentence for the home page; ``navigation`` lists labels
    and URL names of pages for people who are logged in.
    """

    summary: ClassVar[str] = ""
    navigation: ClassVar[Sequence[tuple[str, str]]] = ()
    # The fields that hold personal data, by the label of their model.
    personal: ClassVar[Mapping[str, Sequence[str]]] = {}

    def health(self) -> Health | None:
        """Say how the app does; None when it has nothing to say.

        The health check asks every few seconds, after the database has answered: no slow query.
        What it raises is logged, and the app then counts as degraded.
        """
        return None

    def effects(self) -> Iterable[Effect]:
        """List what the app does by other means than receivers."""
        return ()

    def forget(self, user_pk: Any, using: str) -> int:
        """Remove what it keeps about a user in rows that no model of ``personal`` has.

        Returns the number of rows that it has changed in the database ``using``.
        """
        return 0

    def details(self) -> Mapping[str, str]:
        """Return HTML that the home page shows below apps, by the label of each."""
        return {}


def module_configs() -> list[ModuleConfig]:
    """List the configurations of the apps of this project, in the order of installation."""
    return [config for config in apps.get_app_configs() if isinstance(config, ModuleConfig)]


def site(request: HttpRequest) -> dict[str, Any]:
    """Give every template the project's name, its description and the navigation."""
    return {
        "project_name": settings.PROJECT_NAME,
        "project_description": settings.PROJECT_DESCRIPTION,
        "navigation": [entry for config in module_configs() for entry in config.navigation],
    }
