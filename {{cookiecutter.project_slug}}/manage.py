#!/usr/bin/env python
"""Run Django's commands: ``uv run manage.py help`` lists them."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command that the command line names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # One sentence with the name of the setting is clearer than a traceback.
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
