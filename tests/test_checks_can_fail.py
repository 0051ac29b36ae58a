"""Every check fails when the template is broken on purpose: a check that cannot fail says nothing."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checks import commands, containers, content, contract, inside, names
from tests.checks.check import Check
from tests.conftest import copied_template
from tests.support.bakery import Bakery
from tests.support.template import Combination, Template
from tests.test_matrix import CHECKS

MODULE = "profiles"


@dataclass(frozen=True)
class Breakage:
    """A way to break the template, the check that has to notice, and what it has to say."""

    check: Check
    says: str
    file: str
    old: str = ""
    new: str = ""
    modules: tuple[str, ...] = ()

    def __call__(self, template: Template) -> None:
        """Replace ``old`` in the file, or add ``new`` at its end; the file may be new."""
        path = template.source / self.file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        text = path.read_text(encoding="utf-8")
        assert self.old in text, f"{self.file} no longer holds {self.old!r}"
        changed = text.replace(self.old, self.new, 1) if self.old else f"{text}\n{self.new}\n"
        path.write_text(changed, encoding="utf-8")

    def shares_a_copy_with(self, other: "Breakage") -> bool:
        """Say whether both can be made in one copy and noticed by one check."""
        return (self.check, self.modules) == (other.check, other.modules)


OF_TEXTS = (content.leftovers, content.traces, names.dangling, containers.containers)
README = "README.md"
DOCUMENT = "apps/core/README.md"
WORKFLOW = ".github/workflows/ci.yml"

BREAKAGES = {
    # The files of a bake
    "a variable of the template": Breakage(
        content.leftovers, "{{ is left", DOCUMENT, new="{{ cookiecutter.project_name }}"
    ),
    "a statement of the template": Breakage(
        content.leftovers, "{% is left", "apps/core/jobs.py", new="# {% if x %}"
    ),
    "a line statement": Breakage(
        content.leftovers, "# % is left", "apps/core/jobs.py", new="# % endfor"
    ),
    "the name of the engine": Breakage(
        content.leftovers, "cookiecutter is left", README, new="Made with Cookiecutter."
    ),
    "the engine in a page": Breakage(
        content.leftovers,
        "cookiecutter is left",
        "apps/core/templates/core/home.html",
        new="<p>cookiecutter</p>",
    ),
    # Traces of what was not chosen
    "a module in the README": Breakage(
        content.traces, "a trace of profiles", README, new="See also the profiles."
    ),
    "a module in an import": Breakage(
        content.traces,
        "a trace of profiles",
        "apps/core/jobs.py",
        new="from apps.profiles import models",
    ),
    "a module in the settings": Breakage(
        content.traces, "audit: 'AUDIT'", "config/settings.py", new='AUDIT_EXTRA = ""'
    ),
    "the setting of a module": Breakage(
        content.traces, "audit: 'AUDITED", "config/settings.py", new="AUDITED_MODELS = []"
    ),
    "a class of a module": Breakage(
        content.traces, "a trace of audit", "apps/core/jobs.py", new="# As AuditConfig does."
    ),
    "a package of a module": Breakage(
        content.traces,
        "a trace of handoff",
        "pyproject.toml",
        '    "django==',
        '    "celery[redis]==5.7.0",\n    "django==',
    ),
    "a module spelt with a hyphen": Breakage(
        content.traces, "a trace of welcome_email", WORKFLOW, new="# The Welcome-Email is sent."
    ),
    "a variable of a module": Breakage(
        content.traces, "a trace of handoff", ".env.example", new="#CELERY_BROKER_URL="
    ),
    "the page of a module": Breakage(
        content.traces, "a trace of profiles", "apps/core/views.py", new='# "profile/"'
    ),
    "a path of a module": Breakage(
        content.traces, "a trace of handoff", DOCUMENT, new="[more](../../docs/worker.md)"
    ),
    "a file named after a module": Breakage(
        content.traces, "is named after audit", "docs/audit-more.md", new="More."
    ),
    # Containers whose parts do not fit
    "a file that the image lacks": Breakage(
        containers.containers,
        "copies lost.toml",
        "Dockerfile",
        "COPY pyproject.toml",
        "COPY lost.toml",
    ),
    "another Python in the image": Breakage(
        containers.containers,
        "starts from python:3.9-slim",
        "Dockerfile",
        "python:3.14-slim-trixie",
        "python:3.9-slim",
    ),
    "another uv in the image": Breakage(
        containers.containers, "installs uv 0.1.0", "Dockerfile", "uv==0.13.9", "uv==0.1.0"
    ),
    "an image that runs as root": Breakage(
        containers.containers, "runs as root", "Dockerfile", "USER 10001", "USER root"
    ),
    "an image of another folder": Breakage(
        containers.containers,
        "takes /srv/ap along",
        "Dockerfile",
        "COPY --from=build /srv/app",
        "COPY --from=build /srv/ap",
    ),
    "an image in which no program is found": Breakage(
        containers.containers,
        "has another PATH",
        "Dockerfile",
        "PATH=/srv/app/.venv",
        "PATH=/app/.venv",
    ),
    "a user without a name": Breakage(
        containers.containers, "makes no account for", "Dockerfile", "--uid 10001", "--uid 10002"
    ),
    "a folder that the program may not write to": Breakage(
        containers.containers, "no folder /srv/app/var", "Dockerfile", " --owner=app", ""
    ),
    "a volume beside the folder": Breakage(
        containers.containers, "web writes to", "compose.yaml", '/srv/app/var"]', '/srv/var"]'
    ),
    "a database that keeps nothing": Breakage(
        containers.containers,
        "db keeps nothing",
        "compose.yaml",
        "db:/var/lib/postgresql",
        "db:/var/lib/postgresql/data",
    ),
    "a server that does not wait for the migrations": Breakage(
        containers.containers,
        "web starts before migrate has ended",
        "compose.yaml",
        "service_completed_successfully",
        "service_started",
    ),
    "an image that needs the network": Breakage(
        containers.containers,
        "needs the network",
        "Dockerfile",
        "EXPOSE 8000",
        "EXPOSE 8000\nRUN uv sync",
    ),
    "a lost group in the image": Breakage(
        containers.containers, "the group lost", "Dockerfile", "--group production", "--group lost"
    ),
    "an image that runs what is not there": Breakage(
        containers.containers, "no package brings lost", "Dockerfile", '["gunicorn"]', '["lost"]'
    ),
    "a lost service": Breakage(
        containers.containers, "waits for lost", "compose.yaml", "      db: {", "      lost: {"
    ),
    "a lost volume": Breakage(
        containers.containers, "web mounts lost", "compose.yaml", '"var:/srv', '"lost:/srv'
    ),
    "a variable of a container that nothing reads": Breakage(
        containers.containers,
        "sets LOST for web",
        "compose.yaml",
        "    LOG_LEVEL:",
        "    LOST: 1\n    LOG_LEVEL:",
    ),
    "a container that leads elsewhere": Breakage(
        containers.containers, "leads web to lost", "compose.yaml", "@db:5432", "@lost:5432"
    ),
    "a port for everybody": Breakage(
        containers.containers, "from everywhere", "compose.yaml", "127.0.0.1:${WEB", "${WEB"
    ),
    "a variable that the documents do not tell of": Breakage(
        containers.containers,
        "asks for WEB_LOST",
        "compose.yaml",
        "${WEB_PORT",
        "${WEB_LOST",
    ),
    "an image without a version": Breakage(
        containers.containers, "without a version", "compose.yaml", "postgres:18", "postgres"
    ),
    "debugging in a container": Breakage(
        containers.containers,
        "sets DEBUG for web",
        "compose.yaml",
        "    LOG_LEVEL:",
        "    DEBUG: 1\n    LOG_LEVEL:",
    ),
    # Names that lead nowhere
    "a wrong path": Breakage(
        names.dangling, "apps/core/lost.py", README, new="See `apps/core/lost.py`."
    ),
    "a wrong file": Breakage(names.dangling, "lost.toml", README, new="See `lost.toml`."),
    "a wrong link": Breakage(names.dangling, "docs/lost.md", README, new="[Lost](docs/lost.md)"),
    "a wrong picture": Breakage(names.dangling, "lost.svg", README, new="![Lost](lost.svg)"),
    "a wrong heading": Breakage(names.dangling, "#lost of README.md", README, new="[Lost](#lost)"),
    "a wrong heading elsewhere": Breakage(
        names.dangling,
        "#lost of apps/core/README.md",
        README,
        new="[Lost](apps/core/README.md#lost)",
    ),
    "a wrong line": Breakage(
        names.dangling, "line 9999 of", README, new="[Lost](apps/core/dispatch.py#L9999)"
    ),
    "a wrong command": Breakage(
        names.dangling, "manage.py lost", README, new="Run `uv run manage.py lost`."
    ),
    "a wrong option": Breakage(
        names.dangling, "--lost", README, new="```console\nuv run manage.py migrate --lost\n```"
    ),
    "a wrong verb": Breakage(
        names.dangling,
        "audit lost",
        "apps/audit/README.md",
        new="Run `uv run manage.py audit lost`.",
        modules=("audit",),
    ),
    "a wrong program": Breakage(
        names.dangling, "runs lostprogram", README, new="```console\nlostprogram --now\n```"
    ),
    "a wrong program of uv": Breakage(
        names.dangling, "which no package", README, new="```console\nuv run lostscript\n```"
    ),
    "a wrong script": Breakage(
        names.dangling,
        "scripts/lost.py",
        README,
        new="```console\nuv run python scripts/lost.py\n```",
    ),
    "a wrong group": Breakage(
        names.dangling, "group lost", README, new="```console\nuv sync --group lost\n```"
    ),
    "a wrong group, with an equals sign": Breakage(
        names.dangling, "group gone", README, new="```console\nuv sync --no-group=gone\n```"
    ),
    "a wrong target": Breakage(names.dangling, "target lost", README, new="Run `make lost`."),
    "a wrong hook": Breakage(
        names.dangling, "hook lost", README, new="Run `uv run pre-commit run lost`."
    ),
    "a wrong setting": Breakage(names.dangling, "LOST_SETTING", README, new="Set `LOST_SETTING`."),
    "a wrong variable": Breakage(
        names.dangling,
        "LOST_VARIABLE",
        README,
        new="```console\nLOST_VARIABLE=1 uv run pytest\n```",
    ),
    "a wrong page": Breakage(names.dangling, "page /lost/", README, new="Open `/lost/`."),
    "a wrong address": Breakage(
        names.dangling,
        "page /gone/",
        README,
        new="```console\ncurl http://127.0.0.1:8000/gone/\n```",
    ),
    "a wrong import": Breakage(
        names.dangling,
        "apps.core.jobs has no lost",
        README,
        new="```python\nfrom apps.core.jobs import lost\n```",
    ),
    "a wrong module": Breakage(
        names.dangling,
        "apps.core.lost, and apps.core has no lost",
        README,
        new="See `apps.core.lost`.",
    ),
    "Python that cannot be read": Breakage(
        names.dangling, "cannot be read", README, new="```python\nclass:\n```"
    ),
    "a drawn folder": Breakage(
        names.dangling, "apps/lost/", README, new="```text\napps/\n    core/\n    lost/\n```"
    ),
    "a block without language": Breakage(
        names.dangling, "without its language", README, new="```\nx\n```"
    ),
    "a wrong variable in the example": Breakage(
        names.dangling, "LOST_VARIABLE", ".env.example", new="#LOST_VARIABLE=1"
    ),
    "a wrong command of CI": Breakage(
        names.dangling,
        "manage.py lost",
        WORKFLOW,
        "uv run manage.py check",
        "uv run manage.py lost",
    ),
    "a wrong variable of CI": Breakage(
        names.dangling, "LOST_VARIABLE", WORKFLOW, 'DEBUG: "1"', 'LOST_VARIABLE: "1"'
    ),
    "a wrong command of a hook": Breakage(
        names.dangling,
        "manage.py lost",
        ".pre-commit-config.yaml",
        "=.env.example manage.py check",
        "=.env.example manage.py lost",
    ),
    "a wrong name in the document of a module": Breakage(
        names.dangling,
        "lost.py",
        "apps/profiles/README.md",
        new="See `lost.py`.",
        modules=(MODULE,),
    ),
    "an undocumented variable": Breakage(
        content.undocumented_variables,
        "SECRET_SAUCE",
        "config/settings.py",
        new='SAUCE = env.read("SECRET_SAUCE", str, "", "chili")',
    ),
    # The answers of the project's tools
    "an unused import": Breakage(
        commands.ruff_check,
        "F401",
        "apps/core/modules.py",
        "from typing import",
        "import os\nfrom typing import",
    ),
    "an unformatted line": Breakage(
        commands.ruff_format, "would be reformatted", "apps/core/modules.py", new="x  =  1"
    ),
    "a warning of Django": Breakage(
        commands.django_check,
        "staticfiles.W004",
        "config/settings.py",
        new='STATICFILES_DIRS = ["/nowhere"]',
    ),
    "a model without its migration": Breakage(
        commands.missing_migrations,
        "Create model Forgotten",
        "apps/accounts/models.py",
        new="""
from django.db import models


class Forgotten(models.Model):
    pass
""",
    ),
    "a receiver that is not listed": Breakage(
        commands.own_checks,
        "not in it: apps/accounts/models.py:",
        "apps/accounts/models.py",
        new="""
from django.db.models.signals import post_save


def planted(sender, **kwargs):
    pass


post_save.connect(planted, sender=User)
""",
        modules=("signal_map",),
    ),
    "an insecure setting": Breakage(
        commands.deployment,
        "security.W012",
        "config/settings.py",
        new="SESSION_COOKIE_SECURE = False",
    ),
    "a test that fails": Breakage(
        commands.own_tests,
        "1 failed",
        "apps/core/tests/test_broken.py",
        new="def test_broken() -> None:\n    assert not 1",
    ),
    "a test that warns": Breakage(
        commands.own_tests,
        "1 failed",
        "apps/core/tests/test_broken.py",
        new='import warnings\n\n\ndef test_broken() -> None:\n    warnings.warn("old", DeprecationWarning)',
    ),
    "warnings let pass": Breakage(
        commands.own_tests,
        "lets warnings",
        "pyproject.toml",
        'filterwarnings = ["error"]',
        'filterwarnings = ["error", "ignore::DeprecationWarning"]',
    ),
}


@pytest.fixture(scope="module")
def faults_of(
    bakery: Bakery, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Breakage], list[str]]:
    """Break a copy of the template and return what the check says of the project baked from it.

    Breakages that a check of texts has to notice are made together in one copy, for speed.
    """
    said: dict[tuple[Breakage, ...], list[str]] = {}

    def look(breakage: Breakage) -> list[str]:
        together = tuple(
            other
            for other in BREAKAGES.values()
            if other is breakage
            or (breakage.check in OF_TEXTS and other.shares_a_copy_with(breakage))
        )
        if together not in said:
            template = copied_template(tmp_path_factory.mktemp("broken") / "template")
            for each in together:
                each(template)
            if breakage.check is commands.own_tests:
                keep_one_test_only(template)
            project = bakery.bake(template, Combination(breakage.modules))
            said[together] = breakage.check(project)
        return said[together]

    return look


@pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES)
def test_a_breakage_is_noticed(
    faults_of: Callable[[Breakage], list[str]], breakage: Breakage
) -> None:
    faults = faults_of(breakage)
    if breakage.check in OF_TEXTS:
        faults = [fault for fault in faults if re.match(rf"{re.escape(breakage.file)}\b", fault)]
    assert len([fault for fault in faults if breakage.says in fault]) == 1, faults


def test_every_check_of_a_project_is_shown_to_fail() -> None:
    shown = {breakage.check for breakage in BREAKAGES.values()}
    elsewhere = {content.file_set}
    assert shown | elsewhere == {*CHECKS, commands.own_tests}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise RuntimeError('lost')", "RuntimeError: lost"),
        ("import sys\n\nsys.exit('lost')", "lost"),
        ("import os\n\nos.kill(os.getpid(), 9)", "ended with -9"),
    ],
    ids=["an error", "an exit", "a kill"],
)
def test_settings_that_cannot_be_loaded_are_noticed_by_every_check(
    bakery: Bakery, copy_of_template: Template, source: str, says: str
) -> None:
    """Each says so itself, although one process asks for all of them."""
    path = copy_of_template.source / "config" / "settings.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{source}\n", encoding="utf-8")
    project = bakery.bake_once(copy_of_template, Combination(()))
    for check in inside.COMMANDS.keys() - {"dangling", "own_checks"}:
        (fault,) = inside.faults(project, check)
        assert says in fault, check
    assert "the project cannot be asked" in "".join(names.dangling(project))


def test_a_failing_check_is_reported_alone(bakery: Bakery, copy_of_template: Template) -> None:
    """Also where all were asked at once, and by a process that has seen others fail."""
    for breakage in ("a warning of Django", "an insecure setting", "a wrong command"):
        BREAKAGES[breakage](copy_of_template)
    project = bakery.bake_once(copy_of_template, Combination(()))
    (warned,) = commands.django_check(project)
    (insecure,) = commands.deployment(project)
    (lost,) = names.dangling(project)
    assert "python manage.py check --fail-level=WARNING ended with 1" in warned
    assert "staticfiles.W004" in warned
    assert "security.W012" in insecure
    assert "manage.py lost" in lost
    assert commands.missing_migrations(project) == commands.own_checks(project) == []


def test_statements_that_no_test_runs_are_noticed(
    bakery: Bakery, copy_of_template: Template
) -> None:
    path = copy_of_template.source / "apps" / "accounts" / "more.py"
    lines = "\n".join(f"    x = {number}" for number in range(200))
    path.write_text(f"def more() -> None:\n{lines}\n", encoding="utf-8")
    project = bakery.bake_once(copy_of_template, Combination(()))
    assert contract.own_tests(project) == []
    (fault,) = contract.uncovered(project, "accounts")
    assert re.search(r"apps/accounts/more\.py +201 +201 +0% +1-201", fault)
    assert f"less than fail-under={contract.LEAST}" in fault


def keep_one_test_only(template: Template) -> None:
    """Take most tests out of a copy, for speed: how many fail is not the question."""
    for path in template.source.glob("apps/*/tests/test_*.py"):
        if path.name not in ("test_broken.py", "test_jobs.py"):
            # Emptied only: the hook says so when a file is missing that it should remove.
            path.write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ("", "apps/profiles/apps.py should not be there"),
        ('import pathlib\npathlib.Path("manage.py").unlink()', "manage.py is missing"),
        ('import pathlib\npathlib.Path("more.txt").touch()', "more.txt should not be there"),
    ],
    ids=["pruning nothing", "pruning too much", "adding a file"],
)
def test_a_wrong_set_of_files_is_noticed(
    bakery: Bakery, copy_of_template: Template, hook: str, says: str
) -> None:
    path = copy_of_template.root / "hooks" / "post_gen_project.py"
    path.write_text(hook, encoding="utf-8")
    project = bakery.bake(copy_of_template, Combination(()))
    assert says in content.file_set(project)


def test_a_wrong_type_is_noticed(bakery: Bakery, copy_of_template: Template) -> None:
    path = copy_of_template.source / "apps" / "core" / "modules.py"
    path.write_text(f'{path.read_text(encoding="utf-8")}\nx: int = "1"\n', encoding="utf-8")
    project = bakery.bake(copy_of_template, Combination(()))
    assert "Incompatible types" in "".join(commands.types(project))


def without(requirement: str) -> Callable[[Path], None]:
    """Return a change of pyproject.toml that takes a line out."""

    def change(path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.strip().startswith(f'"{requirement}')]
        assert len(kept) == len(lines) - 1, requirement
        path.write_text("".join(kept), encoding="utf-8")

    return change


@pytest.mark.whole
def test_an_undeclared_dependency_is_noticed_in_a_fresh_environment(
    bakery: Bakery, copy_of_template: Template, tmp_path: Path
) -> None:
    keep_one_test_only(copy_of_template)
    without("whitenoise==")(copy_of_template.source / "pyproject.toml")
    project = bakery.bake(copy_of_template, Combination(()))
    assert commands.own_tests(project) == []  # in the environment that has everything
    faults = commands.own_tests(bakery.installed_copy(project, tmp_path / "fresh"))
    assert "No module named 'whitenoise'" in "".join(faults)


@pytest.mark.whole
def test_a_package_without_pin_is_noticed(
    bakery: Bakery, copy_of_template: Template, tmp_path: Path
) -> None:
    without("sqlparse==")(copy_of_template.source / "pyproject.toml")
    project = bakery.bake(copy_of_template, Combination(()))
    faults = commands.unpinned(bakery.installed_copy(project, tmp_path / "fresh"))
    assert "pyproject.toml pins no version of sqlparse" in faults


@pytest.mark.whole
def test_what_pre_commit_would_change_is_noticed(
    bakery: Bakery, copy_of_template: Template, tmp_path: Path
) -> None:
    path = copy_of_template.source / "apps" / "core" / "modules.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}\nx  =  1\n", encoding="utf-8")
    project = bakery.bake(copy_of_template, Combination(()))
    faults = commands.pre_commit(
        bakery.installed_copy(project, tmp_path / "fresh"),
        SKIP="mypy,django-check,django-migrations",
    )
    assert "files were modified by this hook" in faults[0]
    assert "apps/core/modules.py" in faults[1]


@pytest.mark.whole
def test_a_broken_configuration_of_pre_commit_is_noticed(
    bakery: Bakery, copy_of_template: Template, tmp_path: Path
) -> None:
    path = copy_of_template.source / ".pre-commit-config.yaml"
    path.write_text("repos: [{repo: local, hooks: [{id: x}]}]\n", encoding="utf-8")
    project = bakery.bake(copy_of_template, Combination(()))
    faults = commands.pre_commit(bakery.installed_copy(project, tmp_path / "fresh"))
    assert "validate-config" in faults[0]


def test_a_registry_that_forgets_a_path_is_noticed(
    bakery: Bakery, copy_of_template: Template
) -> None:
    """The set of files is then as the registry says, but the file is a trace."""
    settings = copy_of_template.settings
    del settings["_modules"]["handoff"]["paths"]
    path = copy_of_template.root / "cookiecutter.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    project = bakery.bake(copy_of_template, Combination(()))
    assert content.file_set(project) == []
    assert any(fault.startswith("docs/worker.md:") for fault in content.traces(project))
