"""The template's source: plain Python wherever it can be, and dependencies that point one way."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checks.check import expect_none
from tests.checks.content import FOREIGN
from tests.checks.source import LONGEST, circle, long_functions
from tests.support.markdown import Document
from tests.support.template import ROOT, TEMPLATE

APPS = TEMPLATE.source / "apps"
PYTHON = sorted(TEMPLATE.source.rglob("*.py"))
PAGES = "/templates/"


def relative(path: Path) -> str:
    return path.relative_to(TEMPLATE.source).as_posix()


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_python_parses_as_it_stands(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"))


def gaps(source: str) -> list[str]:
    """List the texts in which two spaces, or a space and a full stop, stand where a word was lost."""
    lost = re.compile(r"[a-z.,;:]  [A-Za-z]|[a-z] [.,;:](?: [A-Z]|$)")
    texts = [one.value for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and lost.search(text)]


@pytest.mark.parametrize("path", PYTHON, ids=relative)
def test_no_text_of_a_project_has_lost_a_word(path: Path) -> None:
    assert gaps(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ["Nobody has the .", "It adds to the chain of  Run it again."])
def test_a_lost_word_is_noticed(text: str) -> None:
    assert gaps(f"raise ValueError({text!r})") == [text]


def test_toml_parses_as_it_stands() -> None:
    """Linters of the template's source read their configuration from it."""
    for path in TEMPLATE.source.rglob("*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))


def test_nothing_under_apps_holds_jinja() -> None:
    marks = re.compile(r"\{\{|\{%|# %|cookiecutter")
    found = [
        relative(path)
        for path in APPS.rglob("*")
        if path.is_file()
        and PAGES not in path.as_posix()
        and marks.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_shared_files_name_no_module() -> None:
    """They loop over the registry instead, so that a new module needs no change of theirs."""
    own = {path for module in TEMPLATE.registry for path in TEMPLATE.paths_of(module)}
    names = re.compile("|".join(rf"\b{name}\b" for name in TEMPLATE.registry))
    shared = [
        TEMPLATE.source / file
        for file in TEMPLATE.files()
        if not any(file == path or file.startswith(f"{path}/") for path in own)
    ]
    shared += [*(ROOT / "hooks").glob("*.py"), ROOT / "django_signals_extensions.py"]
    found = [
        f"{path}:{number}: {line}"
        for path in shared
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if names.search(line.replace(*FOREIGN))
    ]
    assert found == []


def test_every_app_is_in_the_registry_or_always_there() -> None:
    folders = {path.name for path in APPS.iterdir() if path.is_dir()}
    assert folders == {"core", "accounts", *TEMPLATE.registry}


@pytest.mark.parametrize("app", sorted(path.name for path in APPS.iterdir() if path.is_dir()))
def test_an_app_imports_only_what_it_may(app: str) -> None:
    allowed = {"core": {"core"}, "accounts": {"core", "accounts"}}.get(
        app, {"core", "accounts", app}
    )
    found = [
        f"{relative(path)} imports apps.{imported}"
        for path in (APPS / app).rglob("*.py")
        if "/tests/" not in path.as_posix()
        for imported in apps_imported(path)
        if imported not in allowed
    ]
    assert found == []


def apps_imported(path: Path) -> Iterator[str]:
    """Yield the name of every app that a file imports something of, by its full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "apps" and rest:
                yield rest.partition(".")[0]


def names_missing(source: str) -> list[str]:
    """Return each name that a file imports from a module of the apps that defines no such name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "apps":
            module = TEMPLATE.source.joinpath(*str(node.module).split("."))
            names = {alias.name for alias in node.names}
            found += [f"{node.module}.{name}" for name in sorted(names - names_in(module))]
    return found


def names_in(module: Path) -> set[str]:
    """Return what can be imported from a module, by its path without ``.py``."""
    beside = {each.stem for each in module.glob("*")}
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    if not file.exists():
        return beside
    defined = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                defined.add(node.name)
            case ast.ImportFrom() | ast.Import():
                defined |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                defined |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return beside | defined


def test_what_long_runs_import_exists() -> None:
    """These files are imported in baked projects only, by tests and benchmarks that take long."""
    files = sources(ROOT, "benchmarks/**/*.py", "tests/support/planted/*.py")
    expect_none(
        [
            f"{path} imports {name}, which there is not"
            for path, text in files.items()
            for name in names_missing(text)
        ]
    )


def test_an_import_of_nothing_is_noticed() -> None:
    source = (
        "from apps.core import lost, jobs\nfrom apps.gone import a\nfrom apps.core.jobs import b"
    )
    assert names_missing(source) == ["apps.core.lost", "apps.gone.a", "apps.core.jobs.b"]


def sources(folder: Path, *parts: str) -> dict[str, str]:
    """Return path and text of every file of Python in parts of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for part in parts
        for path in sorted(folder.glob(part))
    }


def test_no_function_of_a_project_is_too_long() -> None:
    expect_none(long_functions(sources(TEMPLATE.source, "**/*.py")))


def test_no_function_of_the_repository_is_too_long() -> None:
    folders = ("hooks", "scripts", "benchmarks", "tests")
    expect_none(long_functions(sources(ROOT, "*.py", *(f"{name}/**/*.py" for name in folders))))


def test_a_function_that_is_too_long_is_noticed() -> None:
    lines = "\n".join(["    x = 1"] * (LONGEST - 1))
    assert long_functions({"a.py": f"def a():\n{lines}\n"}) == []
    said = ["a.py:2: a has 46 lines, 45 at most"]
    assert long_functions({"a.py": f"@x\ndef a():\n{lines}\n    x = 2\n"}) == said
    assert long_functions({"a.py": f"\nasync def a():\n{lines}\n    x = 2\n"}) == said


def test_no_modules_of_a_project_import_each_other_in_a_circle() -> None:
    expect_none(circle(sources(TEMPLATE.source, "**/*.py")))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from apps.b import models", "from apps.a import models"),
        ("import apps.b.models", "import apps.a.models"),
        ("from apps.b.models import B", "def b():\n    from apps.a.models import A"),
        ("from ..b.models import B", "from ..a import models"),
        ("from apps import b", "from apps.a.models import A"),
        ("from apps.b import models", "if True:\n    from apps.a import models"),
        (
            "from apps.b import models",
            "if TYPE_CHECKING:\n    x = 1\nelse:\n    from apps.a import models",
        ),
    ],
)
def test_a_circle_of_imports_is_noticed(first: str, second: str) -> None:
    files = {"apps/__init__.py": "", "apps/a/__init__.py": "", "apps/a/models.py": first}
    files |= {"apps/b/__init__.py": "from apps.b.models import B", "apps/b/models.py": second}
    found = circle(files)
    assert {"apps.a.models", "apps.b.models"} <= set(found)
    assert found[0] == found[-1]


@pytest.mark.parametrize(
    "second",
    [
        "if TYPE_CHECKING:\n    from apps.a.models import A",
        "if typing.TYPE_CHECKING:\n    from apps.a import models",
        "from django.db import models",
        "x = 'from apps.a import models'",
    ],
)
def test_an_import_that_is_never_run_makes_no_circle(second: str) -> None:
    files = {"apps/a/models.py": "from apps.b import models", "apps/b/models.py": second}
    assert circle(files) == []


@pytest.mark.parametrize("module", TEMPLATE.registry)
def test_a_module_explains_itself_and_has_tests(module: str) -> None:
    headings = Document((APPS / module / "README.md").read_text(encoding="utf-8")).headings()
    assert re.match(rf"{module}\b", headings[0])
    assert any(re.match(r"tak(e|ing) it out", heading, re.IGNORECASE) for heading in headings)
    assert list((APPS / module / "tests").glob("test_*.py"))


@pytest.mark.parametrize("module", TEMPLATE.registry)
def test_a_module_has_one_summary(module: str) -> None:
    """The registry and the module itself say the same sentence."""
    tree = ast.parse((APPS / module / "apps.py").read_text(encoding="utf-8"))
    summaries = [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "summary"
        and isinstance(node.value, ast.Constant)
    ]
    assert summaries == [TEMPLATE.registry[module]["summary"]]


def test_nothing_under_version_control_names_a_machine_or_a_package_index() -> None:
    """Sources install through their ordinary clients, wherever those are told to look."""
    words = re.compile(r"pypi\.org|pythonhosted|/work/|registry\.npmjs|anaconda\.org")
    kept = [ROOT / name for name in ("Makefile", "pyproject.toml", "README.md", "CONTRIBUTING.md")]
    kept += [
        path
        for folder in ("hooks", "scripts", "benchmarks", "docs", ".github", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".png")
    ]
    kept += [TEMPLATE.source / file for file in TEMPLATE.files()]
    assert [str(path) for path in kept if words.search(path.read_text(encoding="utf-8"))] == []
