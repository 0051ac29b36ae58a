"""Runs inside a baked project and says which names lead nowhere.

The argument is a JSON list of questions; the answers go to standard output as a JSON
list of the same length: null when a thing exists, else a sentence.
"""

import argparse
import importlib
import json
import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.db import models
from django.urls import Resolver404, resolve


def main() -> None:
    """Answer all questions."""
    django.setup()
    questions: list[dict[str, Any]] = json.loads(sys.argv[1])
    print(json.dumps([ANSWERS[each["kind"]](each["value"], each["options"]) for each in questions]))


def object_named(path: str, _: list[str]) -> str | None:
    """Look for a module, or for something inside one."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return f"names {path}, and {name} has no {part}"
            found = getattr(found, part)
        return None
    return f"names {path}, which does not exist"


def setting_named(name: str, _: list[str]) -> str | None:
    """Look for a setting, of the project or of Django, or for a constant of its models."""
    if hasattr(settings, name) or hasattr(models, name) or name in celery_settings():
        return None
    return f"names {name}, which is neither a setting nor a variable"


def url_named(path: str, _: list[str]) -> str | None:
    """Look for a page."""
    try:
        resolve(path)
    except Resolver404:
        return f"names the page {path}, which does not exist"
    return None


def command_named(name: str, options: list[str]) -> str | None:
    """Look for a management command and its options."""
    if name == "help":
        return None
    app = get_commands().get(name)
    if app is None:
        return f"runs manage.py {name}, which does not exist"
    command = load_command_class(app, name) if isinstance(app, str) else app
    parser = command.create_parser("manage.py", name)
    verbs = verbs_of(parser)
    verb = next((word for word in options if not word.startswith("-")), None)
    if verbs and verb is not None and verb not in verbs:
        return f"runs manage.py {name} {verb}, which does not exist"
    known = {
        text
        for each in [parser, *verbs.values()]
        for action in each._actions
        for text in action.option_strings
    }
    unknown = [word for word in options if word.startswith("-") and word not in known]
    return f"runs manage.py {name} with {unknown[0]}, which it does not know" if unknown else None


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the verbs of a command that has some, each with what it is told."""
    return {
        verb: each
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb, each in action.choices.items()
    }


def celery_settings() -> set[str]:
    """List what Celery reads from the settings, where a project has Celery."""
    try:
        from celery.app.defaults import NAMESPACES, flatten
    except ModuleNotFoundError:
        return set()
    # The first is no setting: Celery and its billiard read it from the environment.
    return {"REMAP_SIGTERM", *(f"CELERY_{name.upper()}" for name, _ in flatten(NAMESPACES))}


def celery_told(name: str, options: list[str]) -> str | None:
    """Look for a command of Celery's command line and its options."""
    from celery.bin.celery import celery

    command = celery.commands.get(name)
    if command is None:
        return f"runs celery {name}, which does not exist"
    known = {text for parameter in command.params for text in parameter.opts}
    unknown = [option for option in options if option not in known]
    return f"runs celery {name} with {unknown[0]}, which it does not know" if unknown else None


ANSWERS = {
    "celery": celery_told,
    "object": object_named,
    "setting": setting_named,
    "url": url_named,
    "command": command_named,
}

if __name__ == "__main__":
    main()
