"""Every command of every document runs unchanged, or a reason is given why it does not.

The tables below name the commands that run elsewhere. All other commands of a project's documents
run here, in a copy of the project with all modules. It is as its user has it after the first lines
of the README.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks.check import expect_none
from tests.checks.command_lines import command_lines, is_command
from tests.checks.inside import PRODUCTION
from tests.checks.reader import SHELLS
from tests.support.bakery import Bakery
from tests.support.markdown import Document
from tests.support.programs import clean_environment, run
from tests.support.project import BakedProject
from tests.support.releases import Workplace
from tests.support.template import ROOT, TEMPLATE

TESTS = ROOT / "tests"

# Pattern of a command to the test that runs it, or something that says more.
RUN_ELSEWHERE = {
    r"uvx cruft (create|check|diff|update|link)\b.*": "test_later.py",
    r"uvx cookiecutter \..*": "test_answers.py",
    r"(uvx cookiecutter|git (worktree|merge|-C \.\./pristine/\S+)) .*|git (rm|commit)": "test_without_cruft.py",
    r"git (commit --all|tag|push origin HEAD v).*": "test_releasing.py",
    r"git push origin HEAD template": "test_release_by_workflow.py",
    r"make (new|help|clean)\b.*": "test_make.py",
    r"make draw": "test_adding.py",
    r"make bench( BENCH=(audit|handoff)( BENCH_ARGS=--postgres)?)?": "test_benchmark.py",
    r"make bench BENCH=faults BENCH_ARGS=.*": "test_faults.py",
    r"\.tools/uv-\*/bin/uv run benchmarks/handoff\.py": "test_benchmark.py",
    r"\.tools/uv-\*/bin/uv run benchmarks/faults\.py.*": "test_faults.py",
    r"manage\.py signals( --check| --write)?": "test_signal_map.py",
    r"uv run manage\.py runserver": "test_make.py",
    r"uv run (manage\.py (startapp|makemigrations) .*|pytest apps/shop)": "test_first_app.py",
    r"uv run (pytest|mypy|ruff check \.|ruff check|ruff format --check \.)": "test_first_day.py",
    r"ruff (check|format --check)|manage\.py check": "test_matrix.py",
    r"uv run pre-commit install|uv sync|uv run": "test_first_day.py",
    r"uv run --no-sync gunicorn": "test_production.py",
    r"uv sync --no-dev --group production": "test_production.py",
    r"uv run --no-sync python -m sqlite3 .*": "test_production.py",
    r"uv run --no-sync manage\.py (dumpdata|loaddata) .*": "test_commands.py",
}
# Pattern of a command to the reason why no test runs it.
NOT_RUN = {
    r"(REQUIRE_SERVICES=1 )?make test(-all)?": "it is what runs these tests",
    r"make lint": "the CI script runs it before the tests",
    r"make audit": "it asks a service in the network; a workflow runs it once a week",
    r"docker (compose|buildx) .*": "it needs a container engine; what the image does is in test_production.py",
    r"pg_(dump|restore) .*": "it needs the programs of PostgreSQL and a database to lose",
    r"openssl .*": "it prints a random number",
    r"manage\.py handoff": "it has verbs, which the module's own tests run",
    r"uv run (--no-sync )?manage\.py audit (history accounts\.User 1|verify --noted .*|export --subject .*|forget .*)":
        "it names an object or a seal of the reader's own; the module's own tests name one of theirs",
    r"uv run (--no-sync )?manage\.py handoff retry": "it wants jobs that have failed to be named; so do its tests",
    r"(CELERY_BROKER_URL=\S+ )?uv run --no-sync celery .*": "it runs or asks a worker; the module's own tests do",
    r"systemctl .*|journalctl .*|sudo .*": "it needs a machine with systemd",
    r"uv run manage\.py createsuperuser": "it asks at a terminal; tried below without",
}  # fmt: skip


def commands(text: str) -> list[str]:
    """Return every command of a document, those in running text too, without remarks."""

    def found() -> Iterator[str]:
        document = Document(text)
        for fence in document.fences():
            if fence.language in SHELLS:
                yield from command_lines(fence.text)
        for code in document.code():
            if is_command(code.text) and not code.text.startswith(("cd ", "ls ")):
                yield code.text

    return list(dict.fromkeys(re.sub(r"\s+#.*$", "", line).strip() for line in found()))


def fits(line: str, patterns: dict[str, str]) -> bool:
    return any(re.fullmatch(pattern, line) for pattern in patterns)


def documents_of(project: BakedProject) -> dict[str, list[str]]:
    """Return each document of a project with its commands, those about production last."""
    files = sorted(file for file in project.files if file.endswith(".md"))
    files.sort(key=lambda file: (file != "README.md", "production" in file))
    return {file: commands(project.read(file)) for file in files}


def repository_commands() -> list[str]:
    """Return the commands of the repository's documents that are not those of a project's.

    The page of a module repeats those of its README, which are run in a project below.
    """
    readmes = TEMPLATE.source.glob("apps/*/README.md")
    of_projects = {line for file in readmes for line in commands(file.read_text(encoding="utf-8"))}
    lines = []
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        found = commands(file.read_text(encoding="utf-8"))
        repeated = of_projects if file.parent.name == "modules" else set()
        lines += [line for line in found if line not in repeated]
    return lines


def test_every_command_of_the_repository_is_run_or_excused() -> None:
    lines = repository_commands()
    assert lines
    assert [line for line in lines if not fits(line, RUN_ELSEWHERE | NOT_RUN)] == []


def test_every_table_entry_is_about_a_command_and_every_test_exists(bakery: Bakery) -> None:
    lines = repository_commands()
    for found in documents_of(bakery.project(TEMPLATE.all_on())).values():
        lines += found
    spare = {r"systemctl .*|journalctl .*|sudo .*", r"make (new|help|clean)\b.*", r"make audit"}
    for pattern in {**RUN_ELSEWHERE, **NOT_RUN}.keys() - spare:
        assert any(re.fullmatch(pattern, line) for line in lines), f"nothing says {pattern}"
    assert [file for file in RUN_ELSEWHERE.values() if not (TESTS / file).exists()] == []
    assert all(len(reason) > 10 for reason in NOT_RUN.values())


@pytest.mark.whole
def test_every_other_command_of_a_project_runs(bakery: Bakery, tmp_path: Path) -> None:
    """In the order of the documents, each on a migrated database."""
    project = bakery.project(TEMPLATE.all_on())
    copy = bakery.installed_copy(project, tmp_path / "my_project")
    Workplace(tmp_path).commit(copy.path)
    module = next(
        name for name in TEMPLATE.registry if f"apps/{name}/migrations/__init__.py" in copy.files
    )
    ran, faults = [], []
    for file, lines in documents_of(project).items():
        for line in ["cp .env.example .env", "uv run manage.py migrate", *lines]:
            if fits(line, RUN_ELSEWHERE | NOT_RUN):
                continue
            command = line.replace(" MODULE ", f" {module} ")
            done = run(
                ["bash", "-eo", "pipefail", "-c", command],
                folder=copy.path,
                environment=clean_environment(**(PRODUCTION if "--deploy" in line else {})),
            )
            ran.append(line)
            if done.returncode:
                faults.append(f"{file}: {line}\n{done.stdout}{done.stderr}")
    assert faults == []
    assert "uv run manage.py migrate MODULE zero" in ran
    assert len(set(ran)) > 10


@pytest.mark.parametrize("file", ["docs/production.md", "docs/worker.md", "docs/audit.md"])
def test_no_command_of_production_installs_what_development_needs(
    bakery: Bakery, file: str
) -> None:
    """As ``uv run`` does by itself, except where the tests are run."""
    lines = commands(bakery.project(TEMPLATE.all_on()).read(file))
    running = [line for line in lines if "uv run " in line and "pytest" not in line]
    assert running
    assert [line for line in running if "uv run --no-sync " not in line] == []


def test_the_first_user_can_be_made_without_a_terminal_too(bakery: Bakery, tmp_path: Path) -> None:
    project = bakery.project(TEMPLATE.all_on())
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'database.sqlite3'}"}
    assert project.faults_of("python", "manage.py", "migrate", "-v0", **database) == []
    assert (
        project.faults_of(
            "python", "manage.py", "createsuperuser", "--no-input",
            DJANGO_SUPERUSER_USERNAME="ada",
            DJANGO_SUPERUSER_EMAIL="ada@example.com",
            DJANGO_SUPERUSER_PASSWORD="a long enough one",
            **database,
        )
        == []
    )  # fmt: skip


def test_the_data_of_a_project_moves_to_another_database(bakery: Bakery, tmp_path: Path) -> None:
    """With the lines of the document, from one file of SQLite to another."""
    project = bakery.copy(bakery.project(TEMPLATE.all_on()), tmp_path / "my_project")
    fences = Document(project.read("docs/worker.md")).fences()
    (lines,) = [fence.text for fence in fences if "loaddata" in fence.text]
    old, new = (f"sqlite:///{tmp_path / name}.sqlite3" for name in ("old", "new"))
    user = {"DJANGO_SUPERUSER_PASSWORD": "a long enough one", "DATABASE_URL": old}
    naming = ("--no-input", "--username=ada", "--email=ada@example.com")
    expect_none(project.faults_of("python", "manage.py", "migrate", "-v0", **user))
    expect_none(project.faults_of("python", "manage.py", "createsuperuser", *naming, **user))

    moving, replaced = re.subn(
        r"postgres://\S+", new, re.sub(r"uv run( --no-sync)?", "python", lines)
    )
    assert replaced == 1
    done = run(
        ["bash", "-eo", "pipefail", "-c", moving],
        folder=project.path,
        environment=project.environment.activated(DATABASE_URL=old),
    )

    assert done.returncode == 0, done.stderr
    names = "from apps.accounts.models import User; print(*User.objects.values_list('username'))"
    assert (
        "('ada',)"
        in project.run("python", "manage.py", "shell", "-c", names, DATABASE_URL=new).stdout
    )


@pytest.mark.parametrize("line", ["make lost", "uvx cruft lost", "docker run x"])
def test_a_command_that_is_not_run_is_noticed(line: str) -> None:
    (found,) = commands(f"```console\n{line}\n```")
    assert not fits(found, RUN_ELSEWHERE | NOT_RUN)
