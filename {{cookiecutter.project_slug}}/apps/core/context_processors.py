"""What every page needs: the project's name and the navigation."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from .modules import module_configs


def site(request: HttpRequest) -> dict[str, Any]:
    """Give templates the project's name, its description and the navigation."""
    return {
        "project_name": settings.PROJECT_NAME,
        "project_description": settings.PROJECT_DESCRIPTION,
        "navigation": [entry for config in module_configs() for entry in config.navigation],
    }
