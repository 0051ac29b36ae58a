from django.apps import AppConfig


class FiringConfig(AppConfig):
    """Models to write to in tests; ``test_what_fires.py`` installs them for itself only."""

    name = "apps.signal_map.tests.deep.firing"
    label = "firing"
