"""Ask whether a known vulnerability concerns a package that is pinned here: ``make audit``.

Looks at what the repository's tests and tools install and at what a project with all modules
installs. Needs the network. Exit status 1 when something is found, and also when a package
cannot be looked up, since that says nothing about it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Audit both; return the exit status."""
    settings = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        project = cookiecutter(
            str(ROOT),
            no_input=True,
            extra_context=dict.fromkeys(settings["_modules"], True),
            output_dir=folder,
        )
        found = [audit(ROOT, Path(folder)), audit(Path(project), Path(folder))]
    return max(found)


def audit(project: Path, folder: Path) -> int:
    """Look up every package that a project locks; return the exit status.

    Args:
        project: a folder with a pyproject.toml.
        folder: where a list of its packages is written.
    """
    packages = folder / "packages.txt"
    uv = os.environ.get("UV", "uv")
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(
        [uv, "export", "--quiet", "--all-groups", "--no-hashes", "--no-emit-project",
         "--output-file", packages],
        cwd=project, env=environment, check=True,
    )  # fmt: skip
    print(f"Packages of {project.name}:", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--no-deps",
         "--requirement", packages],
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
