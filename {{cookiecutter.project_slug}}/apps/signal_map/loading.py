"""Imports the same modules as a server, so that the map finds the receivers that they connect."""

from importlib import import_module

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string, module_has_submodule


def load_all() -> None:
    """Import the URLs with their views, middleware, login backends and ``management`` packages.

    Raises:
        ImportError: when one of them, or one of its imports, is missing.
    """
    import_module(settings.ROOT_URLCONF)
    for path in (*settings.MIDDLEWARE, *settings.AUTHENTICATION_BACKENDS):
        import_string(path)
    # ``migrate`` imports these too. Packages connect receivers of post_migrate there.
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "management"):
            import_module(f"{config.name}.management")
