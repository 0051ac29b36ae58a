"""Writes the signal map of a template, as a contributor does."""

import sys

from tests.support.programs import PythonEnvironment, clean_environment, run
from tests.support.template import ROOT, Template


def draw(template: Template, environment: PythonEnvironment) -> None:
    """Run the script; ``environment`` has the packages of a project with all modules."""
    script = ROOT / "scripts" / "draw_signal_map.py"
    python = environment.program("python")
    done = run(
        [sys.executable, script, "--root", template.root, "--python", python],
        folder=ROOT,
        environment=clean_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
