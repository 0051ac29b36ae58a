"""Compare sending a signal to receivers of the kit with sending it to plain ones of Django.

Every figure is a median within one run, whose subjects take turns. The floor is Django's own
``Signal.connect`` with the same functions, which do nothing. The kit is measured in three ways:

- with timing off, as in production and without the module ``signal_map``;
- with timing on, outside of any request;
- in a request that is timed, as in development.

The map of 200 receivers is timed as well, in CPU time. So are bulk writes of 1,000 rows, without a
receiver and with one.

The figures are taken inside a project that is baked for it, with the packages it pins.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.throwaway import bake, installed, run  # noqa: E402

INSIDE = ROOT / "benchmarks" / "inside" / "dispatch.py"


def main() -> None:
    """Bake, measure and print; with ``--json`` the last line holds the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each subject (15)")
    parser.add_argument("--python", type=Path, help="an interpreter with the project's packages")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = bake(ROOT, Path(folder), modules=("signal_map",))
        python = options.python or installed(project)
        said = run([str(python), str(INSIDE), str(options.rounds)], project)
    *report, figures = said.splitlines()
    print("\n".join(report))
    if options.json:
        print(json.dumps(json.loads(figures)))


if __name__ == "__main__":
    main()
