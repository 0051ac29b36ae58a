"""The interface between an app and the other parts of the project."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from django.apps import AppConfig, apps
from django.conf import settings
from django.http import HttpRequest


class Health(StrEnum):
    """How well a part of the project works, from good to bad."""

    OK = "ok"
    DEGRADED = "degraded"  # a person must look at it, but this process can serve requests
    UNAVAILABLE = "unavailable"  # this process cannot serve requests


class Effect(NamedTuple):
    """Work that an app does on an event of a sender, without a receiver."""

    sender: str  # a model's label
    event: str  # such as "every write"
    when: str  # such as "in transaction"
    function: Callable[..., Any]  # does the work or installs it
    summary: str


class ModuleConfig(AppConfig):
    """The configuration of an app of this project."""

    summary: ClassVar[str] = ""  # one sentence for the home page
    # Labels and URL names of pages for people who are logged in.
    navigation: ClassVar[Sequence[tuple[str, str]]] = ()
    # The fields that hold personal data, by the label of their model.
    personal: ClassVar[Mapping[str, Sequence[str]]] = {}

    def health(self) -> Health | None:
        """Return the state of the app, or None to leave it out of the health check.

        It runs every few seconds, so it must be quick. After an exception the app is degraded.
        """
        return None

    def effects(self) -> Iterable[Effect]:
        """List the work that the app does without receivers."""
        return ()

    def forget(self, user_pk: Any, using: str) -> int:
        """Remove data about a user from rows of models that ``personal`` does not list.

        Returns the number of changed rows in the database ``using``.
        """
        return 0

    def details(self) -> Mapping[str, str]:
        """Return HTML for the home page to show below apps, by the label of each app."""
        return {}


def module_configs() -> list[ModuleConfig]:
    """List the configurations of this project's apps, in the order of installation."""
    return [config for config in apps.get_app_configs() if isinstance(config, ModuleConfig)]


def site(request: HttpRequest) -> dict[str, Any]:
    """Give every template the project's name, its description and the navigation."""
    return {
        "project_name": settings.PROJECT_NAME,
        "project_description": settings.PROJECT_DESCRIPTION,
        "navigation": [entry for config in module_configs() for entry in config.navigation],
    }
