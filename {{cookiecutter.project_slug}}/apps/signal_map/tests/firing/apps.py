from django.apps import AppConfig


class FiringConfig(AppConfig):
    """Models to write to, which only the tests install."""

    name = "apps.signal_map.tests.firing"
    label = "firing"
