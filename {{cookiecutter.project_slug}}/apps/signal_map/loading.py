"""Imports what a server imports, so that the map sees the receivers that are connected there."""

from importlib import import_module

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string, module_has_submodule


def load_all() -> None:
    """Import the URLs with their views, middleware, login backends and ``management`` packages.

    Raises:
        ImportError: when one of them, or what it imports, is not there.
    """
    import_module(settings.ROOT_URLCONF)
    for path in (*settings.MIDDLEWARE, *settings.AUTHENTICATION_BACKENDS):
        import_string(path)
    # As migrate does: packages connect receivers of post_migrate there.
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, "management"):
            import_module(f"{config.name}.management")
