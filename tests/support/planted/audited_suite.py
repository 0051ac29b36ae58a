"""Settings for Django's own ``runtests.py``, with a runner that audits all models of its tests."""

import json
import os
import runpy
from pathlib import Path
from typing import Any

import apps
from django.apps import apps as django_apps
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import ImproperlyConfigured
from django.test.runner import DiscoverRunner

import __main__

# Among Django's tests is a folder named like that of the project's apps.
apps.__path__.append(f"{os.environ['PROJECT']}/apps")
# runtests.py installs what this function lists, whatever settings say. It installs a few apps
# before, for a moment: receivers of the trail would then know an app that is no longer installed.
apps_to_install = __main__.get_apps_to_install
__main__.get_apps_to_install = lambda modules: [
    *("apps.core", "apps.audit"),
    *apps_to_install(modules),
]


read_database = runpy.run_path(f"{os.environ['PROJECT']}/config/environment.py")["database"]


def database(alias: str) -> dict[str, Any]:
    config: dict[str, Any] = read_database(os.environ["DATABASE_URL"])
    in_memory = config["NAME"] == ":memory:"
    return config if in_memory else config | {"NAME": f"{config['NAME']}_{alias}"}


# As in the settings that Django's tests come with.
DATABASES = {alias: database(alias) for alias in ("default", "other")}
SECRET_KEY = "for-tests-alone"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
# Rows that a test puts back have further entries.
TEST_NON_SERIALIZED_APPS = ["apps.audit"]

TEST_RUNNER = "audited_suite.Runner"
TRUST_REQUEST_ID = False
BEHIND_PROXY = False


class Runner(DiscoverRunner):
    """Runs the tests, and writes down what failed; also triggers that are no longer right."""

    def setup_databases(self, **kwargs: Any) -> Any:
        # Some models are made by modules of tests, which have been imported by now.
        self.refused = audit_everything()
        record_no_logins()
        self.databases = super().setup_databases(**kwargs)
        return self.databases

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        from apps.audit import registry, triggers

        result = super().run_suite(suite, **kwargs)
        failed = {path_of(test): said for test, said in (*result.failures, *result.errors)}
        failed |= {path_of(test): "passes unexpectedly" for test in result.unexpectedSuccesses}
        faults = {each: triggers.faults(each) for each, _, created in self.databases if created}
        failed |= {f"triggers of {each.alias}": "\n".join(of) for each, of in faults.items() if of}
        written = {
            "tests": result.testsRun,
            "audited": len(registry.audited_models()),
            "refused": self.refused,
            "failures": failed,
        }
        Path(os.environ["RESULT"]).write_text(json.dumps(written), encoding="utf-8")
        return result


def record_no_logins() -> None:
    """Disconnect what records logins: it costs one statement more, which tests of Django count."""
    from apps.audit import receivers

    recorded = {
        receivers.record_login: user_logged_in,
        receivers.record_logout: user_logged_out,
        receivers.record_failure: user_login_failed,
    }
    for function, signal in recorded.items():
        uid = f"{receivers.__file__}:{function.__qualname__}"
        if not signal.disconnect(dispatch_uid=uid):
            raise LookupError(f"{uid} is not connected")


def audit_everything() -> dict[str, str]:
    """Audit every model, if need be without its links; return why others cannot be."""
    from apps.audit import registry

    refused = {}
    for model in django_apps.get_models():
        if model._meta.app_label == "audit":
            continue
        links = [field.name for field in model._meta.local_many_to_many]
        try:
            try:
                registry.register(model)
            except ImproperlyConfigured:
                registry.register(model, exclude=links)
        except ImproperlyConfigured as error:
            refused[model._meta.label] = str(error)
    return refused


def path_of(test: Any) -> str:
    """Return the dotted path of a test, without the parameters of a subtest, or of a class."""
    words = str(test.id()).split(maxsplit=1)
    return words[1].strip("()") if words[0] in ("setUpClass", "tearDownClass") else words[0]
