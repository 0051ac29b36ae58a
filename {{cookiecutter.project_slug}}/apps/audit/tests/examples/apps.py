from django.apps import AppConfig


class ExamplesConfig(AppConfig):
    name = "apps.audit.tests.examples"
    label = "audit_examples"
