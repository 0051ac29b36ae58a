"""Compare the time of a bake with the least that cookiecutter can do.

Every figure is a ratio of medians within one run, whose bakes take turns, so
that neither the machine nor its load that day is part of the result. The floor
is the same engine on a template of one file without hooks.

Two kinds are printed. In a fresh process, Python starts and imports cookiecutter
for every bake, through its API: that is what a person waits for, and the headline.
In a warm process everything is imported and cached: that shows what the template
itself adds, and above all what the two processes of its hooks add.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
BAKE = "import json, sys; from cookiecutter.main import cookiecutter; cookiecutter(**json.loads(sys.argv[1]))"


@dataclass(frozen=True)
class Subject:
    """Something to bake: a template and answers."""

    template: Path
    answers: dict[str, object] = field(default_factory=dict)

    def arguments(self, folder: Path) -> dict[str, object]:
        """Return the arguments of cookiecutter's API for a bake inside an empty folder."""
        config = folder / "config.yaml"
        config.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/cloned\n")
        return {
            "template": str(self.template),
            "no_input": True,
            "extra_context": self.answers,
            "output_dir": str(folder / "output"),
            "config_file": str(config),
        }


def fresh(arguments: dict[str, object]) -> None:
    """Bake in a new process."""
    subprocess.run(
        [sys.executable, "-c", BAKE, json.dumps(arguments)], check=True, stdout=subprocess.DEVNULL
    )


def warm(arguments: dict[str, object]) -> None:
    """Bake in this process."""
    cookiecutter(**arguments)


def medians(
    bake: Callable[[dict[str, object]], None], subjects: dict[str, Subject], rounds: int
) -> dict[str, float]:
    """Bake all subjects in turn, several times; return the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            with tempfile.TemporaryDirectory() as folder:
                arguments = subject.arguments(Path(folder))
                start = time.perf_counter()
                bake(arguments)
                taken = time.perf_counter() - start
            if number:  # the first round only fills caches
                seconds[name].append(taken)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def template_without_hooks(folder: Path) -> Path:
    """Copy the template, except its hooks: it refuses to be baked without those it has."""
    folder.mkdir(parents=True)
    for path in [*ROOT.glob("cookiecutter.json"), *ROOT.glob("django_signals_*.py")]:
        shutil.copy(path, folder)
    for path in [*ROOT.glob("templates"), *ROOT.glob("{{*")]:
        shutil.copytree(path, folder / path.name)
    return folder


def floor_template(folder: Path, *, hooks: bool) -> Path:
    """Write a template of one file, with or without two hooks that do nothing."""
    source = folder / "{{cookiecutter.project_slug}}"
    source.mkdir(parents=True)
    (source / "README.md").write_text("# {{ cookiecutter.project_slug }}\n")
    (folder / "cookiecutter.json").write_text('{"project_slug": "floor"}\n')
    if hooks:
        (folder / "hooks").mkdir()
        for name in ("pre_gen_project.py", "post_gen_project.py"):
            (folder / "hooks" / name).write_text("")
    return folder


def ratios(times: dict[str, float]) -> dict[str, float]:
    """Turn medians into the ratios that the goals speak of."""
    return {
        "all_on_over_floor": round(times["all on"] / times["floor"], 2),
        "all_off_over_floor": round(times["all off"] / times["floor"], 2),
        "hooks_share": round(1 - times["all on, no hooks"] / times["all on"], 2),
    }


def main() -> None:
    """Measure and print; with ``--json`` the last line holds the headline's ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="bakes of each kind (15)")
    parser.add_argument("--template", type=Path, help="another template to compare with")
    parser.add_argument("answers", nargs="*", metavar="key=value", help="answers for that template")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()

    modules = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["_modules"]
    all_on: dict[str, object] = dict.fromkeys(modules, True)
    with tempfile.TemporaryDirectory() as folder:
        subjects = {
            "floor": Subject(floor_template(Path(folder) / "plain", hooks=False)),
            "floor with two empty hooks": Subject(
                floor_template(Path(folder) / "hooks", hooks=True)
            ),
            "all on": Subject(ROOT, all_on),
            "all on, no hooks": Subject(template_without_hooks(Path(folder) / "without"), all_on),
            "all off": Subject(ROOT),
        }
        if options.template:
            answers = dict(answer.split("=", 1) for answer in options.answers)
            subjects[options.template.name] = Subject(options.template.resolve(), answers)
        headline = report(
            "A fresh process for every bake", medians(fresh, subjects, options.rounds)
        )
        print()
        # The hooks of a warm bake write to this process's standard output.
        with quiet():
            times = medians(warm, subjects, options.rounds)
        report("One warm process", times)
    if options.json:
        print(json.dumps(headline))


def report(title: str, times: dict[str, float]) -> dict[str, float]:
    """Print the ratios of one kind and return those that the goals speak of."""
    found = ratios(times)
    print(f"{title}: time as a multiple of the floor's")
    for name, taken in times.items():
        print(f"  {name:28} {taken / times['floor']:6.2f}")
    over_hooks = times["all on"] / times["floor with two empty hooks"]
    print(f"  all on, as a multiple of the floor with two empty hooks: {over_hooks:.2f}")
    print(f"  share of the hooks in all on: {found['hooks_share']:.0%}")
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what this process, and those it starts, write to standard output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


if __name__ == "__main__":
    main()
