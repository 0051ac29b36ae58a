"""How many lines of Python the owner of a project has: counted, written down, and limited."""

import sys
from pathlib import Path, PurePosixPath
from subprocess import CompletedProcess

import pytest

from scripts.what_you_own import Lines, choices, counted, documents, kind, with_sentence
from tests.support.bakery import Bakery
from tests.support.programs import clean_environment, run
from tests.support.repository import copied_repository
from tests.support.template import ROOT, TEMPLATE, Combination, Template

SIX = ("profiles", "audit", "welcome_email", "handoff", "taskboard", "signal_map")
CHOICES = choices(ROOT)


def lines_of(bakery: Bakery, modules: tuple[str, ...]) -> Lines:
    """Count the lines of a project with these modules."""
    return counted(bakery.project(Combination(modules)).texts())


@pytest.mark.parametrize(
    ("modules", "part", "limit"),
    [
        ((), "total", 2_900),
        ((), "source", 2_030),
        (("profiles",), "total", 3_150),
        (SIX, "total", 16_400),
        (SIX, "tests", 5_500),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, tuple) else str(value),
)
def test_a_project_keeps_the_limit(
    bakery: Bakery, modules: tuple[str, ...], part: str, limit: int
) -> None:
    assert getattr(lines_of(bakery, modules), part) <= limit


def test_the_kit_keeps_the_limit(bakery: Bakery) -> None:
    """Counted where nothing is chosen: the template has files that only modules need."""
    texts = bakery.project(Combination(())).texts()
    kit = {
        file: text
        for file, text in texts.items()
        if file.startswith(("apps/core/", "apps/accounts/"))
    }
    assert counted(kit).source <= 1_500


def test_none_each_alone_and_all_are_counted() -> None:
    assert [Combination(modules) for modules in CHOICES] == sorted(
        TEMPLATE.corners(), key=lambda corner: CHOICES.index(corner.modules)
    )
    assert len(CHOICES) == len(TEMPLATE.registry) + 2


def test_the_documents_say_how_many_lines_there_are(bakery: Bakery) -> None:
    found = documents(ROOT, {modules: lines_of(bakery, modules) for modules in CHOICES})
    stale = [file for file, text in found.items() if (ROOT / file).read_text("utf-8") != text]
    assert stale == [], "run: make draw"
    apps = f"{TEMPLATE.source.name}/apps"
    modules = {f"{apps}/{name}/README.md" for name in ("core", *TEMPLATE.registry)}
    assert found.keys() == {"README.md", *modules}


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("manage.py", "source"),
        ("apps/profiles/models.py", "source"),
        ("apps/audit/management/commands/audit.py", "source"),
        ("apps/core/testing.py", "source"),
        ("apps/profiles/migrations/0001_initial.py", "migrations"),
        ("apps/profiles/tests/test_profiles.py", "tests"),
        ("apps/audit/tests/examples/migrations/0001_initial.py", "tests"),
        ("apps/conftest.py", "tests"),
    ],
)
def test_a_file_counts_for_one_thing(file: str, what: str) -> None:
    assert kind(PurePosixPath(file)) == what


def test_lines_are_counted_as_they_stand() -> None:
    """Blank lines and comments as well, and no file that is not Python."""
    files = {"a.py": "x = 1\n\n# y\n", "tests/test_a.py": "x = 1\n", "b.toml": "x = 1\n"}
    assert counted(files) == Lines(source=3, migrations=0, tests=1)
    assert counted(files).total == 4
    assert counted({"migrations/0001.py": "x\n" * 1_234}).migrations == 1_234


def test_a_readme_says_once_how_many_lines_its_module_has() -> None:
    lines = Lines(source=1_234, migrations=0, tests=5)
    sentence = "Lines of Python: 1,234 source, 0 migrations, 5 tests.\n"
    written = with_sentence("# a\n\nWhat it\ndoes.\n\n## More\n\nText.\n", lines)
    assert written == f"# a\n\nWhat it\ndoes.\n\n{sentence}\n## More\n\nText.\n"
    assert with_sentence(written, lines) == written
    assert with_sentence(written.replace("1,234", "9"), lines) == written
    assert with_sentence("# a\n\nWhat it does.\n", lines) == f"# a\n\nWhat it does.\n\n{sentence}"


def what_you_own(*options: str | Path) -> CompletedProcess[str]:
    script = ROOT / "scripts" / "what_you_own.py"
    return run([sys.executable, script, *options], folder=ROOT, environment=clean_environment())


def test_the_script_prints_the_table_of_the_readme() -> None:
    done = what_you_own()
    assert done.returncode == 0, done.stderr
    assert done.stdout in (ROOT / "README.md").read_text(encoding="utf-8")
    assert done.stdout.count("\n") == len(CHOICES) + 2


def test_one_line_more_is_noticed(tmp_path: Path) -> None:
    repository = copied_repository(tmp_path / "clone")
    (source,) = {path.parent for path in repository.source.glob("apps/profiles/apps.py")}
    path = source / "tests" / "test_more.py"
    path.write_text('"""Nothing."""\n', encoding="utf-8")
    done = what_you_own("--check", "--root", repository.root)
    assert done.returncode == 1
    readme = f"{TEMPLATE.source.name}/apps/profiles/README.md"
    assert done.stdout.splitlines() == [
        f"{file} is out of date: run make draw." for file in ("README.md", readme)
    ]
    written = what_you_own("--write", "--root", repository.root)
    assert written.stdout.splitlines() == ["Wrote README.md.", f"Wrote {readme}."]
    assert what_you_own("--check", "--root", repository.root).returncode == 0
    path.unlink()
    assert total(repository, "all") == total(Template(ROOT), "all") + 1


def total(template: Template, name: str) -> int:
    """Read a total of the table in the README."""
    lines = (template.root / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line.split("|") for line in lines if line.startswith(f"| {name} | ")]
    return int(row[5].replace(",", ""))
