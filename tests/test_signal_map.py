"""The module signal_map in baked projects: planted mistakes are reported, and nothing is left without it."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined

from scripts.draw_signal_map import template_of
from tests.checks.inside import DEVELOPMENT, PRODUCTION
from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.signal_map import draw
from tests.support.template import Combination, Template

FILE = "apps/accounts/models.py"
# Only the server imports it: the settings of URLs lead there.
VIEWS = "apps/accounts/views.py"
MAP_ALONE = Combination(("signal_map",))
CHECK = ("check", "--fail-level=WARNING")
PAGE = ("signals", "--check")


@dataclass(frozen=True)
class Mistake:
    """Python to add to a file of the project, the command that must find it, and its message."""

    source: str
    command: tuple[str, ...]
    says: str
    file: str = FILE


MISTAKES = {
    "a weakly referenced closure": Mistake(
        '''
        def connect() -> None:
            def planted(sender, **kwargs):
                """Do nothing."""

            post_save.connect(planted, sender=User)


        connect()
        ''',
        CHECK,
        "signal_map.E001",
    ),
    "a duplicate connection": Mistake(
        '''
        def planted(sender, **kwargs):
            """Do nothing."""


        post_save.connect(planted, sender=User, dispatch_uid="one")
        post_save.connect(planted, sender=User, dispatch_uid="another")
        ''',
        CHECK,
        "signal_map.W007",
    ),
    "an async receiver of post_save": Mistake(
        '''
        async def planted(sender, **kwargs):
            """Do nothing."""


        post_save.connect(planted, sender=User)
        ''',
        CHECK,
        "signal_map.E003",
    ),
    "a receiver without docstring": Mistake(
        """
        def planted(sender, **kwargs):
            pass


        post_save.connect(planted, sender=User)
        """,
        CHECK,
        "signal_map.W005",
    ),
    "an async receiver in a file of views": Mistake(
        '''
        from .models import User


        async def planted(sender, **kwargs):
            """Do nothing."""


        post_save.connect(planted, sender=User)
        ''',
        CHECK,
        "signal_map.E003",
        VIEWS,
    ),
    "a receiver in a file of views that the page does not list": Mistake(
        '''
        from .models import User


        def planted(sender, **kwargs):
            """Do nothing."""


        post_save.connect(planted, sender=User)
        ''',
        PAGE,
        "not in it",
        VIEWS,
    ),
    "a receiver that the page does not list": Mistake(
        '''
        def planted(sender, **kwargs):
            """Do nothing."""


        post_save.connect(planted, sender=User)
        ''',
        PAGE,
        "not in it",
    ),
}


@pytest.fixture
def plant(bakery: Bakery, tmp_path: Path) -> Callable[[Mistake], tuple[BakedProject, str]]:
    """Plant a mistake in a copy of the smallest project that has the map; return that and the mistake's place."""

    def plant(mistake: Mistake) -> tuple[BakedProject, str]:
        project = bakery.copy(bakery.project(MAP_ALONE), tmp_path / "my_project")
        path = project.path / mistake.file
        source = "\n\nfrom django.db.models.signals import post_save\n" + textwrap.dedent(
            mistake.source
        )
        path.write_text(path.read_text(encoding="utf-8") + source, encoding="utf-8")
        lines = path.read_text(encoding="utf-8").splitlines()
        (line,) = [number for number, text in enumerate(lines, 1) if "def planted" in text]
        return project, f"{mistake.file}:{line}"

    return plant


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_with_file_and_line(
    plant: Callable[[Mistake], tuple[BakedProject, str]], mistake: Mistake
) -> None:
    project, place = plant(mistake)
    (said,) = project.faults_of("python", "manage.py", *mistake.command, **DEVELOPMENT)
    assert mistake.says in said
    assert place in said
    # Once it is written down, the page alone has nothing against it.
    assert project.faults_of("python", "manage.py", "signals", "--write", **DEVELOPMENT) == []
    assert project.faults_of("python", "manage.py", *PAGE, **DEVELOPMENT) == []


@pytest.mark.parametrize(
    "name", [name for name, mistake in MISTAKES.items() if mistake.command == CHECK]
)
def test_production_reports_it_as_well(
    plant: Callable[[Mistake], tuple[BakedProject, str]], name: str
) -> None:
    project, place = plant(MISTAKES[name])
    (said,) = project.faults_of("python", "manage.py", *CHECK, **PRODUCTION)
    if name == "a weakly referenced closure":
        # It is gone already. The page, written in development, still knows of it.
        assert "signal_map.W002" in said
        project.faults_of("python", "manage.py", "signals", "--write", **DEVELOPMENT)
        (said,) = project.faults_of("python", "manage.py", *PAGE, **PRODUCTION)
        assert "no longer so" in said
        assert "[`planted`](../apps/accounts/models.py)" in said
    else:
        assert place in said


def test_the_map_of_the_template_is_what_its_script_writes(
    bakery: Bakery, copy_of_template: Template
) -> None:
    path = copy_of_template.root / "templates" / "signal_map.md"
    kept = path.read_text(encoding="utf-8")
    path.unlink()
    draw(copy_of_template, bakery.environment())
    drawn = path.read_text(encoding="utf-8")
    assert drawn == kept, "run: make draw"


LINES: list[tuple[str, list[str]]] = [
    ("# Signals", []),
    ("", []),
    ("a job", ["apps.audit.receivers.x", "accounts.User"]),
    ("of both", ["apps.audit.receivers.x", "profiles.Profile"]),
    ("a job", ["apps.audit.receivers.x", "profiles.Profile"]),
    ("a job", ["apps.profiles.tasks.send"]),
    ("", []),
    ("always", ["django.contrib.auth.models.update_last_login"]),
    ("always", ["app profiles"]),
]


@pytest.mark.parametrize(("profiles", "audit"), [*product([False, True], repeat=2)])
def test_a_line_is_there_once_when_its_modules_are(profiles: bool, audit: bool) -> None:
    chosen = {"profiles": profiles, "audit": audit}
    environment = Environment(  # noqa: S701 (Markdown)
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    text = environment.from_string(template_of(LINES, list(chosen))).render(cookiecutter=chosen)
    expected = ["# Signals", ""]
    if audit:
        expected += ["a job", "of both"] if profiles else ["a job"]
    elif profiles:
        expected += ["a job"]
    assert text.splitlines() == [*expected, "", "always"]


def test_a_line_that_jinja_would_read_is_refused() -> None:
    with pytest.raises(SystemExit, match="mark of Jinja"):
        template_of([("{{ 1 }}", [])], [])


def test_a_project_without_the_module_has_no_word_of_it(bakery: Bakery) -> None:
    words = re.compile(
        r"signal[ _-]?map|tracing|server[ _-]?timing|what[ _-]fires|signals\.md|manage\.py signals"
        r"|system checks?|receivers? (?:that )?(?:is|are) timed",
        re.IGNORECASE,
    )
    found = {
        file: said
        for file, text in bakery.project(Combination(())).texts_without_answers().items()
        if (said := words.findall(f"{file}\n{text}"))
    }
    assert found == {}


def test_what_the_trail_records_is_on_the_map(bakery: Bakery) -> None:
    """The trail hears of a write without a signal, and says so."""
    project = bakery.project(Combination(("audit", "signal_map")))
    page = project.read("docs/signals.md")
    assert "| `accounts.User` | `every write` | in transaction |" in page
    alone = bakery.project(MAP_ALONE).read("docs/signals.md")
    assert "every write" not in alone
    done = project.run("python", "manage.py", "signals", "--sender", "accounts.User")
    assert "every write" in done.stdout
