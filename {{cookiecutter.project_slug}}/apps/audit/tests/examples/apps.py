from django.apps import AppConfig


class ExamplesConfig(AppConfig):
    """Models to audit in tests; ``conftest.py`` installs them for the tests of this module only."""

    name = "apps.audit.tests.examples"
    label = "audit_examples"
