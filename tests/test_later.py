"""Living with the template: a later release, a module more, a module less, with own edits inside."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.checks import commands, content
from tests.checks.check import Check, expect_none
from tests.support.bakery import Bakery
from tests.support.markdown import Document
from tests.support.once import once
from tests.support.project import BakedProject
from tests.support.releases import CRUFT, NEW, OLD, CruftProject, History, Workplace
from tests.support.template import ROOT, TEMPLATE, Combination, Template
from tests.support.tools import installed

FIRST, *_, LATEST = TEMPLATE.registry  # the earlier release does not have the latest
FILTER = "markdown_text"

CHECKS: list[Check] = [
    content.leftovers,
    commands.ruff_check,
    commands.ruff_format,
    commands.django_check,
    commands.missing_migrations,
    commands.deployment,
]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} no longer holds {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def age(template: Template) -> None:
    """Make of a copy of the template what its previous release may have been.

    It lacks a filter and a module, pins other versions, has a file that is gone now, and
    says some things differently in files of every kind.
    """
    root, source = template.root, template.source
    extensions = root / "django_signals_extensions.py"
    text = extensions.read_text(encoding="utf-8")
    begin = text.index(f"@simple_filter\ndef {FILTER}(")
    end = text.index("@simple_filter\n", begin + 1)
    extensions.write_text(text[:begin] + text[end:], encoding="utf-8")

    settings = template.settings
    settings["_extensions"].remove(f"django_signals_extensions.{FILTER}")
    replace(root / "django_signals_rules.py", '        "whitenoise",\n', "")
    for path in template.paths_of(LATEST):
        target = source / path
        for file in sorted(target.rglob("*"), reverse=True) if target.is_dir() else []:
            file.rmdir() if file.is_dir() else file.unlink()
        target.rmdir() if target.is_dir() else target.unlink()
    del settings["_modules"][LATEST], settings[LATEST], settings["__prompts__"][LATEST]
    (root / "cookiecutter.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")

    receivers = root / "templates" / "signal_map.md"
    text = receivers.read_text(encoding="utf-8")
    of_the_module = rf"{{% if cookiecutter\.{LATEST} %}}\n.*?{{% endif %}}\n"
    text = re.sub(of_the_module, "", text, flags=re.DOTALL)
    receivers.write_text(text, encoding="utf-8")

    replace(source / "README.md", f"|{FILTER}", "")
    replace(source / "README.md", "and nothing else: no", "and neither a")
    # Not the pin next to the package that the edits add: git cannot merge neighbouring lines.
    replace(source / "pyproject.toml", '"django==6.1.3"', '"django==6.1.2"')
    replace(
        source / "config" / "settings.py", "X_FRAME_OPTIONS", "# Never in a frame\nX_FRAME_OPTIONS"
    )
    replace(source / ".gitignore", "htmlcov/\n", "")
    kit = source / "apps" / "core" / "modules.py"
    kit.write_text(f"{kit.read_text(encoding='utf-8')}\n\nOLD = True\n", encoding="utf-8")
    (source / "apps" / "core" / "old.py").write_text('"""Gone in the next release."""\n')


def edit(project: CruftProject) -> None:
    """Change a project as its owners do: an app, a page, a setting, a package, a text, a file less."""
    project.write("apps/notes/__init__.py", "")
    project.write(
        "apps/notes/apps.py",
        '"""Notes."""\n\nfrom apps.core import modules\n\n\n'
        "class NotesConfig(modules.ModuleConfig):\n"
        '    name = "apps.notes"\n    summary = "Notes of our own."\n',
    )
    project.write("apps/notes/urls.py", '"""Pages."""\n\nurlpatterns: list[object] = []\n')
    project.edit(
        "config/settings.py", "template changes.\n]", 'template changes.\n    "apps.notes",\n]'
    )
    project.edit("config/settings.py", 'TIME_ZONE = "UTC"', 'TIME_ZONE = "Asia/Jakarta"')
    path = project.path / "config" / "settings.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}NOTES_LIMIT = 10\n", encoding="utf-8")
    project.edit(
        "config/urls.py",
        "see the note in INSTALLED_APPS\n]",
        'see the note in INSTALLED_APPS\n    path("notes/", include("apps.notes.urls")),\n]',
    )
    # As ``uv add`` writes it, in alphabetical order; it is one that is installed anyway.
    project.edit("pyproject.toml", '    "whitenoise==', '    "sqlparse==0.6.1",\n    "whitenoise==')
    project.edit("README.md", "## Start\n", "It is ours.\n\n## Start\n")
    (project.path / ".github" / "workflows" / "ci.yml").unlink()


EDITED = {
    ".github/workflows/ci.yml", "README.md", "apps/notes/__init__.py", "apps/notes/apps.py",
    "apps/notes/urls.py", "config/settings.py", "config/urls.py", "pyproject.toml",
}  # fmt: skip


def edits_in(project: CruftProject) -> dict[str, bool]:
    """Say of each edit whether it is there."""
    texts = {
        file: (project.path / file).read_text(encoding="utf-8")
        for file in ("README.md", "config/settings.py", "config/urls.py", "pyproject.toml")
    }
    return {
        "app": '    "apps.notes",\n' in texts["config/settings.py"],
        "changed setting": 'TIME_ZONE = "Asia/Jakarta"' in texts["config/settings.py"],
        "setting": "NOTES_LIMIT = 10" in texts["config/settings.py"],
        "page": "apps.notes.urls" in texts["config/urls.py"],
        "package": "sqlparse==0.6.1" in texts["pyproject.toml"].split("[dependency-groups]")[0],
        "text": "It is ours.\n" in texts["README.md"],
        "deleted file": not (project.path / ".github/workflows/ci.yml").exists(),
    }


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    (tmp_path / "home").mkdir()
    return Workplace(tmp_path / "home")


@pytest.fixture
def history(workplace: Workplace, run_folder: Path) -> History:
    """The template with an earlier release; made once in a run, of the working tree."""
    folder = run_folder / "history" / "template"
    history = History(workplace, TEMPLATE, folder)
    once(folder, lambda _: history.build(age))
    return history


def without_lines_of_edits(text: str) -> list[str]:
    """Return the lines of a file less those that the edits added or changed."""
    edits = ("apps.notes", "NOTES_LIMIT", "TIME_ZONE", "sqlparse", "It is ours.")
    return [line for line in text.splitlines() if line and not any(edit in line for edit in edits)]


def expect_the_bake(project: CruftProject, baked: BakedProject) -> None:
    """Expect the project to be what a bake gives, except the edits, which are all there."""
    assert project.conflicts() == []
    assert set(project.differences(baked)) == EDITED
    assert all(edits_in(project).values()), edits_in(project)
    for file in ("README.md", "config/settings.py", "config/urls.py", "pyproject.toml"):
        merged = (project.path / file).read_text(encoding="utf-8")
        assert without_lines_of_edits(merged) == without_lines_of_edits(baked.read(file)), file


def manage(project: BakedProject, database: Path, *words: str) -> None:
    faults = project.faults_of("python", "manage.py", *words, DATABASE_URL=f"sqlite:///{database}")
    expect_none(faults)


def tables(database: Path) -> set[str]:
    connection = sqlite3.connect(database)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}
    finally:
        connection.close()


@pytest.mark.whole
def test_a_later_release_with_one_more_module(
    bakery: Bakery, history: History, tmp_path: Path
) -> None:
    """A project of the previous release takes over this one and a module that is new in it."""
    project = history.create(OLD, FIRST, folder=tmp_path)
    assert (project.path / "apps" / "core" / "old.py").exists()
    assert LATEST not in project.answers()
    edit(project)
    project.workplace.commit(project.path)
    like = bakery.project(Combination((FIRST, LATEST)))
    before = project.as_baked(like, Combination((FIRST,)))
    database = tmp_path / "database.sqlite3"
    manage(before, database, "migrate", "-v0")

    project.update(**{LATEST: True})

    expect_the_bake(project, like)
    assert project.answers()[LATEST] is True
    after = project.as_baked(like, like.combination)
    for check in CHECKS:
        expect_none(check(after))
    expect_none(commands.own_tests(after))
    manage(after, database, "migrate", "-v0")
    manage(after, database, "migrate", "--check")
    check_ = project.workplace.cruft("check", folder=project.path)
    assert "SUCCESS" in check_.stdout
    difference = project.workplace.cruft("diff", folder=project.path)
    assert difference.stdout.startswith("diff --git"), "something else is printed into the diff"
    assert "It is ours." in difference.stdout
    assert project.workplace.git("status", "--porcelain", folder=project.path) == ""


@pytest.mark.whole
def test_a_later_release_that_takes_a_module_out(
    bakery: Bakery, history: History, tmp_path: Path
) -> None:
    """Its tables go as the README says, before, and come again when it is turned on again."""
    kept, gone = FIRST, "welcome_email"
    project = history.create(OLD, kept, gone, folder=tmp_path)
    edit(project)
    project.workplace.commit(project.path)
    like = bakery.project(Combination((kept,)))
    database = tmp_path / "database.sqlite3"
    before = project.as_baked(like, Combination((kept, gone)))
    manage(before, database, "migrate", "-v0")
    assert any(name.startswith(f"{gone}_") for name in tables(database))
    manage(before, database, "migrate", gone, "zero", "-v0")

    project.update(**{gone: False})

    expect_the_bake(project, like)
    after = project.as_baked(like, like.combination)
    expect_none(content.traces(after))
    for check in CHECKS:
        expect_none(check(after))
    expect_none(commands.own_tests(after))
    manage(after, database, "remove_stale_contenttypes", "--include-stale-apps", "--no-input")
    manage(after, database, "migrate", "--check")
    assert not any(name.startswith(f"{gone}_") for name in tables(database))

    project.update(**{gone: True})

    again = bakery.project(before.combination)
    expect_the_bake(project, again)
    manage(project.as_baked(again, again.combination), database, "migrate", "-v0")
    assert any(name.startswith(f"{gone}_") for name in tables(database))


@pytest.mark.whole
def test_every_module_can_be_turned_on_and_taken_out(
    bakery: Bakery, history: History, tmp_path: Path
) -> None:
    """One after another, in an edited project, and never with a conflict."""
    project = history.create(NEW, folder=tmp_path)
    edit(project)
    project.workplace.commit(project.path)
    chosen: tuple[str, ...] = ()
    for wanted, modules in [(True, list(TEMPLATE.registry)), (False, list(TEMPLATE.registry))]:
        for module in modules:
            project.update(**{module: wanted})
            chosen = tuple(
                name for name in TEMPLATE.registry if (name in chosen) != (name == module)
            )
            expect_the_bake(project, bakery.project(Combination(chosen)))
    assert chosen == ()


@pytest.mark.whole
def test_a_licence_can_be_chosen_later(bakery: Bakery, history: History, tmp_path: Path) -> None:
    project = history.create(NEW, folder=tmp_path)
    for licence in ("MIT", "none"):
        project.update(license=licence)
        assert project.differences(bakery.bake(TEMPLATE, Combination(()), license=licence)) == []


@pytest.mark.whole
def test_what_an_update_prints_about_a_name_that_is_none(history: History, tmp_path: Path) -> None:
    """Cruft silently ignores a misspelt module; the template refuses it."""
    project = history.create(NEW, folder=tmp_path)
    done = project.workplace.cruft(
        "update", "--skip-apply-ask", "--variables-to-update", '{"audti": true}',
        folder=project.path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "audti=True is refused: there is no option audti" in done.stderr
    assert project.workplace.git("status", "--porcelain", folder=project.path) == ""

    created = project.workplace.cruft(
        "create", history.folder, "--no-input", "--extra-context", '{"audti": true}',
        folder=tmp_path / "home",
    )  # fmt: skip
    assert created.returncode == 1
    assert "there is no option audti" in created.stderr
    assert list((tmp_path / "home").glob("my_project")) == []


@pytest.mark.whole
@pytest.mark.parametrize("version", [None, "2.15.0"])
def test_an_older_project_that_cruft_did_not_make_can_be_linked(
    bakery: Bakery, history: History, tmp_path: Path, version: str | None
) -> None:
    """As the project's README says; then the later release arrives, with a module more."""
    program = installed("cruft", version) if version else CRUFT
    workplace = Workplace(history.workplace.home, program)
    done = workplace.run(
        CRUFT.with_name("cookiecutter"), history.address, f"--checkout={OLD}", "--no-input",
        f"{FIRST}=yes", "--output-dir", tmp_path, folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    project = CruftProject(workplace, tmp_path / "my_project")
    workplace.commit(project.path)  # cruft merges only what git has seen without the edits
    edit(project)
    workplace.commit(project.path)
    text = (project.path / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall("^uvx cruft (link .*)$", text, re.MULTILINE)
    recorded = json.loads((project.path / ".template.json").read_text(encoding="utf-8"))
    assert f"v{recorded['release']}" == OLD
    line = line.replace("ADDRESS", str(history.folder)).replace("RELEASE", recorded["release"])
    linked = workplace.cruft(*line.split(), folder=project.path)
    assert linked.returncode == 0, linked.stderr
    workplace.commit(project.path)
    assert workplace.cruft("check", folder=project.path).returncode == 1
    assert "old.py" not in workplace.cruft("diff", folder=project.path).stdout

    project.update(**{LATEST: True})

    expect_the_bake(project, bakery.project(Combination((FIRST, LATEST))))
    assert workplace.cruft("check", folder=project.path).returncode == 0


@pytest.mark.whole
def test_the_old_release_makes_way_for_the_filters_of_the_new_one(
    workplace: Workplace, tmp_path: Path
) -> None:
    """Without the first extension, the filter that the new release adds is missing."""

    def age_without(template: Template) -> None:
        age(template)
        settings = json.loads((template.root / "cookiecutter.json").read_text(encoding="utf-8"))
        settings["_extensions"].remove("django_signals_extensions.FreshModules")
        (template.root / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")

    history = History(workplace, TEMPLATE, tmp_path / "template")
    history.build(age_without)
    replace(
        history.folder / "cookiecutter.json", '    "django_signals_extensions.FreshModules",\n', ""
    )
    workplace.commit(history.folder)
    project = history.create(OLD, folder=tmp_path)
    done = workplace.cruft("update", "--skip-apply-ask", folder=project.path)
    assert done.returncode == 1
    assert FILTER in done.stderr


def test_the_extension_that_makes_way_stands_first() -> None:
    assert TEMPLATE.settings["_extensions"][0] == "django_signals_extensions.FreshModules"


CHANGELOG = Document((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
DUTIES = "What a project has to do"


def releases() -> list[tuple[str, list[str]]]:
    """Return each release of the changelog with the headings below it."""
    found: list[tuple[str, list[str]]] = []
    for level, heading in CHANGELOG.levels():
        if level == 2:
            found.append((heading, []))
        elif level == 3:
            found[-1][1].append(heading)
    return found


def test_every_release_says_what_a_project_has_to_do() -> None:
    assert releases()
    assert [name for name, parts in releases() if parts.count(DUTIES) != 1] == []


def test_every_release_has_a_version_and_a_date_and_they_descend() -> None:
    names = [name for name, _ in releases()]
    dated = names[1:] if names[0] == "Unreleased" else names
    parsed = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+), \d{4}-\d{2}-\d{2}", name) for name in dated]
    assert all(parsed), dated
    versions = [tuple(map(int, found.groups())) for found in parsed if found]
    assert versions == sorted(versions, reverse=True)
