"""The repository's documents tell the truth: tables, links, paths.

The commands are in test_commands.py, the three steps of CONTRIBUTING.md in test_adding.py.
"""

import re
import sys
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import unquote

import pytest

from benchmarks.audit import PEERS, POSTGRES_PEERS
from scripts.code_links import line_of
from tests.checks import commands
from tests.checks.check import expect_none
from tests.checks.findings import CONVENTIONS, Place
from tests.checks.reader import Reader
from tests.support.bakery import Bakery
from tests.support.contributing import files_to_write
from tests.support.markdown import Document
from tests.support.programs import clean_environment, run
from tests.support.repository import copied_repository
from tests.support.template import ROOT, TEMPLATE, Combination, Template

README = Document((ROOT / "README.md").read_text(encoding="utf-8"))
CONTRIBUTING = Document((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): Document(path.read_text(encoding="utf-8"))
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}


def module_rows(document: Document) -> list[list[str]]:
    """Return the rows of the table of modules, without its head."""
    (table,) = [table for table in document.tables() if table[0][0] == "Module"]
    return table[1:]


def test_the_table_of_modules_says_what_the_registry_says() -> None:
    first, *rows = module_rows(README)
    assert first[0] == "[`core`](docs/modules/core.md), `accounts`"
    assert [row[:2] for row in rows] == [
        [f"[`{name}`](docs/modules/{name}.md)", module["summary"]]
        for name, module in TEMPLATE.registry.items()
    ]


def test_the_table_of_modules_says_what_each_costs_to_own() -> None:
    """The other table of the README has the numbers, and a test of ownership counts them."""
    (lines,) = [table[1:] for table in README.tables() if table[0][0] == "Modules"]
    (none,) = [row for row in lines if row[0] == "none"]
    more = {row[0].strip("`"): row[-1] for row in lines}
    (_, _, first), *rows = module_rows(README)
    assert first == none[-2]
    assert [row[2] for row in rows] == [f"+ {more[name]}" for name in TEMPLATE.registry]


def test_the_comparison_names_the_versions_that_it_measures() -> None:
    """The benchmarks pin them, and every benchmark that the page names exists."""
    page = (ROOT / "docs" / "why-not-just.md").read_text(encoding="utf-8")
    pins = [pin for pins in {**PEERS, **POSTGRES_PEERS}.values() for pin in pins]
    for pin in pins:
        name, version = pin.split("==")
        assert re.search(rf"\b{name} (\| )?{re.escape(version)}\b", page), pin
    for name in re.findall(r"\bBENCH=(\w+)", page):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name


def test_every_key_of_the_registry_is_explained() -> None:
    (rows,) = [table[1:] for table in CONTRIBUTING.tables() if table[0][0] == "Key"]
    explained = {key for row in rows for key in re.findall(r"`(\w+)`", row[0])}
    used = {key for entry in TEMPLATE.registry.values() for key in entry}
    assert used - {"summary", "listens_to"} == explained


def lost_links(name: str, document: Document) -> list[str]:
    """List the links of a document of the repository that lead nowhere."""
    lost = []
    for link in document.links():
        path, _, anchor = unquote(link.text).partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link.text)
    return lost


def anchors(file: Path) -> set[str]:
    """Return what a link may name behind the #: the headings of a page, the lines of other files."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return Document(text).anchors()
    return {f"L{number}" for number, _ in enumerate(text.splitlines(), start=1)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    assert lost_links(name, DOCUMENTS[name]) == []


@pytest.mark.parametrize(
    "text",
    [
        "[x](lost.md)",
        "[x](README.md#lost)",
        "[x](#lost)",
        "![x](docs/lost.svg)",
        "[x](django_signals_extensions.py#L99999)",
        "[x](README.md#L1)",
    ],
)
def test_a_link_that_leads_nowhere_is_noticed(text: str) -> None:
    assert lost_links("README.md", Document(text))


def test_every_page_can_be_found_from_the_readme() -> None:
    """Each document is linked from the README, directly or from one that is."""
    seen, coming = set(), ["README.md"]
    while coming:
        name = coming.pop()
        if name in seen or name not in DOCUMENTS:
            continue
        seen.add(name)
        folder = (ROOT / name).parent
        links = [unquote(link.text).partition("#")[0] for link in DOCUMENTS[name].links()]
        targets = [(folder / path).resolve() for path in links if path and "://" not in path]
        coming += [path.relative_to(ROOT).as_posix() for path in targets]
    assert set(DOCUMENTS) - seen == set()


def write_documents(*options: str | Path) -> CompletedProcess[str]:
    script = ROOT / "scripts" / "write_documents.py"
    return run([sys.executable, script, *options], folder=ROOT, environment=clean_environment())


def test_the_pages_of_the_modules_are_up_to_date() -> None:
    """And what else is made of the registry: parts of the README, choices in the workflow."""
    done = write_documents("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["core", *TEMPLATE.registry])
def test_the_page_of_a_module_holds_its_readme(name: str) -> None:
    """Word by word, except the links, which lead to the same files and to other pages."""
    readme = TEMPLATE.source / "apps" / name / "README.md"
    title, _, rest = readme.read_text(encoding="utf-8").partition("\n")
    page = DOCUMENTS[f"docs/modules/{name}.md"].text
    link = re.compile(r"\]\(.*?\)")
    assert f"\n{title}\n" in page
    assert link.sub("", page).endswith(link.sub("", rest))

    def targets(text: str, folder: Path) -> list[Path | str]:
        links = [unquote(link.text) for link in Document(text).links()]
        return [link if "://" in link else (folder / link).resolve() for link in links]

    there = targets(rest, readme.parent)
    found = targets(page, ROOT / "docs" / "modules")
    assert found[len(found) - len(there) :] == there


@pytest.fixture
def repository(tmp_path: Path) -> Template:
    """A copy of what the documents are made of, for a test to change."""
    return copied_repository(tmp_path / "repository")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (f"{TEMPLATE.source.name}/apps/profiles/README.md", "# profiles\n\nAnother text.\n"),
        ("docs/modules/profiles.md", "# profiles\n"),
        ("docs/modules/profiles.md", None),
        ("docs/modules/gone.md", "# gone\n"),
    ],
)
def test_a_page_that_is_out_of_date_is_noticed(
    repository: Template, file: str, text: str | None
) -> None:
    root = repository.root
    if text is None:
        (root / file).unlink()
    else:
        (root / file).write_text(text, encoding="utf-8")
    done = write_documents("--check", "--root", root)
    assert done.returncode == 1
    name = "gone" if "gone" in file else "profiles"
    assert done.stdout == f"docs/modules/{name}.md is out of date: run make draw.\n"
    write_documents("--root", root)
    assert write_documents("--check", "--root", root).returncode == 0


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("README.md", "| A profile for every user,", "| One profile for every user,"),
        ("README.md", " audit=yes welcome_email=yes", " welcome_email=yes"),
        ("README.md", "│   ├── audit/            chosen\n", ""),
        (".github/workflows/ci.yml", "profiles=yes audit=yes", "profiles=yes"),
    ],
)
def test_a_part_that_is_out_of_date_is_noticed(
    repository: Template, file: str, old: str, new: str
) -> None:
    path = repository.root / file
    kept = path.read_text(encoding="utf-8")
    assert old in kept
    path.write_text(kept.replace(old, new, 1), encoding="utf-8")
    done = write_documents("--check", "--root", repository.root)
    assert (done.returncode, done.stdout) == (1, f"{file} is out of date: run make draw.\n")
    write_documents("--root", repository.root)
    assert path.read_text(encoding="utf-8") == kept


@pytest.mark.parametrize("file", ["docs/learning-path.md", "apps/taskboard/README.md"])
def test_a_link_to_another_line_of_code_is_noticed(repository: Template, file: str) -> None:
    path = repository.source / file
    kept = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"\.py#L\d+", ".py#L1", kept), encoding="utf-8")
    done = write_documents("--check", "--root", repository.root)
    name = f"{TEMPLATE.source.name}/{file} is out of date: run make draw.\n"
    assert (done.returncode, done.stdout.partition("docs/modules")[0]) == (1, name)
    write_documents("--root", repository.root)
    assert path.read_text(encoding="utf-8") == kept
    assert write_documents("--check", "--root", repository.root).returncode == 0


@pytest.mark.parametrize("link", ["[`gone`](apps.py#L1)", "[`TaskboardConfig`](gone.py#L1)"])
def test_a_link_to_no_code_is_refused_in_one_sentence(repository: Template, link: str) -> None:
    path = repository.source / "apps" / "taskboard" / "README.md"
    path.write_text(path.read_text(encoding="utf-8") + link, encoding="utf-8")
    done = write_documents("--root", repository.root)
    assert done.returncode == 1
    assert "does not define" in done.stderr
    assert "gone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("file", "name", "start"),
    [
        ("receivers.py", "protect_task_in_progress", "@receiver(pre_delete"),
        ("receivers.py", "remind", "@receiver(task_overdue"),
        ("models.py", "Task.save", "    def save("),
        ("receivers.py", "SLOW_REQUEST", "SLOW_REQUEST = "),
        ("signals.py", "task_completed", "task_completed: Final"),
    ],
)
def test_a_link_leads_to_decorators_methods_and_values(file: str, name: str, start: str) -> None:
    path = TEMPLATE.source / "apps" / "taskboard" / file
    line = line_of(path, name)
    assert line is not None
    assert path.read_text(encoding="utf-8").splitlines()[line - 1].startswith(start)


def test_a_readme_without_its_marks_is_refused_in_one_sentence(repository: Template) -> None:
    path = repository.root / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("<!-- end tree -->\n", ""))
    done = write_documents("--root", repository.root)
    assert done.returncode == 1
    assert "two marks for the part tree" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_workflow_leaves_out_on_windows_what_needs_a_process() -> None:
    """A process such as a worker need not run there, and the bakes elsewhere choose everything."""
    lines = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8").splitlines()
    chosen = [re.findall(r"(\w+)=yes", line) for line in lines if "=yes" in line]
    portable = [name for name, module in TEMPLATE.registry.items() if "processes" not in module]
    assert chosen == [portable, list(TEMPLATE.registry), list(TEMPLATE.registry)]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_exists(bakery: Bakery, name: str) -> None:
    """A path is one of the repository's or of the project with all modules."""
    project = bakery.project(TEMPLATE.all_on())
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    lost = []
    for code in DOCUMENTS[name].code():
        path = code.text.rstrip("/")
        if f"{path}/" in ignored:
            continue
        if re.fullmatch(
            r"[\w.{}-]+(/[\w.{}-]+)+|[\w.-]+\.(py|toml|md|json|yml|yaml)", path
        ) and not (
            (ROOT / path).exists()
            or (project.path / path).exists()
            or any(file.endswith(f"/{path}") for file in project.files)
            or path in CONVENTIONS
            or any(path in file for file in files_to_write(DOCUMENTS[name]))
            or path.startswith("projects")
        ):
            lost.append(code)
    assert lost == []


def test_the_tree_of_the_readme_is_that_of_a_project(bakery: Bakery) -> None:
    project = bakery.bake(TEMPLATE, TEMPLATE.all_on(), license="MIT")
    (fence,) = [fence for fence in README.fences() if "\u251c" in fence.text]
    reader = Reader(project)
    reader.tree(Place("README.md", fence.line), fence.text)
    assert reader.findings.faults == []
    assert all(f" {name}/" in fence.text for name in TEMPLATE.registry)


def test_the_receiver_of_the_readme_is_one_of_a_project(bakery: Bakery) -> None:
    """The receiver that the README shows in full is in a generated project, letter by letter."""
    project = bakery.project(TEMPLATE.all_on())
    (shown,) = [fence.text for fence in README.fences() if fence.language == "python"]
    sources = [text for file, text in project.texts().items() if file.endswith("receivers.py")]
    assert any(shown.strip() in source for source in sources)


def test_the_receiver_of_a_project_s_readme_works_as_it_stands(
    bakery: Bakery, tmp_path: Path
) -> None:
    project = bakery.copy(bakery.project(Combination(())), tmp_path / "my_project")
    fences = Document(project.read("README.md")).fences()
    (shown,) = [fence.text for fence in fences if fence.language == "python"]
    (project.path / "apps/accounts/receivers.py").write_text(shown, encoding="utf-8")
    for check in (commands.ruff_check, commands.ruff_format, commands.types):
        expect_none(check(project))
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'database.sqlite3'}"}
    expect_none(project.faults_of("python", "manage.py", "migrate", "-v0", **database))
    code = (
        "import apps.accounts.receivers; from apps.accounts.models import User;"
        "User.objects.create_user('ada')"
    )
    done = project.run("python", "manage.py", "shell", "-c", code, **database)
    assert "User 1 signed up." in done.stderr
