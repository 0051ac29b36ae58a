"""The hooks, imported as the Python that they are, and run as cookiecutter runs them."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from django_signals_rules import choices_of
from hooks import post_gen_project, pre_gen_project
from tests.support.bakery import BakeError, Bakery
from tests.support.programs import run
from tests.support.pythons import python_of
from tests.support.template import ROOT, TEMPLATE, Combination, Template

REGISTRY: dict[str, dict[str, Any]] = {
    "kept": {"paths": ["docs/kept.md"], "contributes": {"LISTED": ["1"]}},
    "dropped": {"paths": ["docs/dropped.md", "extra"]},
}


def answers(**changes: object) -> dict[str, Any]:
    return {
        "_modules": REGISTRY,
        "_settings": {"LISTED": {"items": [], "paths": ["lists/listed.py"]}, "JOBS": {"lines": []}},
        "project_name": "My Project",
        "project_slug": "my_project",
        "description": "What it is.",
        "author_name": "Ada",
        "author_email": "ada@example.com",
        **{name: choices[0] for name, choices in choices_of(TEMPLATE.settings).items()},
        "kept": True,
        "dropped": False,
        **changes,
    }


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A folder with what the first hook reads of the template, and with this registry."""
    folder = tmp_path / "template"
    folder.mkdir()
    shutil.copy(ROOT / "django_signals_rules.py", folder)
    settings = {"project_name": "My Project", "_modules": REGISTRY, "__accepted": "yes"}
    (folder / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for file in (
        "apps/kept/a.py",
        "apps/dropped/b/c.py",
        "docs/kept.md",
        "docs/dropped.md",
        "extra/x",
        "lists/listed.py",
    ):
        path = tmp_path / "project" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "project"


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_pruning_takes_what_was_not_chosen_and_nothing_else(project: Path) -> None:
    assert post_gen_project.prune(answers(), str(project)) == []
    assert files(project) == ["apps/kept/a.py", "docs/kept.md", "lists/listed.py"]


def test_pruning_takes_a_folder_that_it_empties(project: Path) -> None:
    assert post_gen_project.prune(answers(kept=False), str(project)) == []
    assert files(project) == []
    assert not (project / "docs").exists()


def test_pruning_reports_what_is_not_there(project: Path) -> None:
    (project / "docs" / "dropped.md").unlink()
    assert post_gen_project.prune(answers(), str(project)) == ["docs/dropped.md"]


def test_pruning_does_not_follow_links(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    (project / "apps" / "dropped" / "link").symlink_to(outside)
    assert post_gen_project.prune(answers(), str(project)) == []
    assert (outside / "mine").exists()


def test_a_missing_path_fails_the_hook(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(post_gen_project, "ANSWERS", json.dumps(answers()))
    assert post_gen_project.main() == 0
    assert post_gen_project.main() == 1
    assert "lacks what it should prune: apps/dropped" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["plain", "with space", "it's", 'a "b" $c'])
def test_the_closing_message_has_commands_that_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    message = post_gen_project.closing_message(answers())
    assert "My Project is ready" in message
    assert "modules: kept" in message
    (line,) = [line for line in message.splitlines() if line.strip().startswith("cd ")]
    done = run(["sh", "-c", f"{line} && pwd"], folder=tmp_path)
    assert done.stdout.strip() == str(tmp_path / folder)


def test_the_closing_message_without_modules(tmp_path: Path) -> None:
    assert "no modules" in post_gen_project.closing_message(answers(kept=False))


def test_the_closing_message_takes_any_name() -> None:
    assert "{x} %s {0}" in post_gen_project.closing_message(answers(project_name="{x} %s {0}"))


@pytest.mark.parametrize(("name", "status"), [("My Project", 0), ("a\nb", 1), ('"', 0), ("\\", 0)])
def test_the_first_hook_asks_the_rules(
    template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pre_gen_project, "ANSWERS", json.dumps(answers(project_name=name)))
    monkeypatch.setattr(pre_gen_project, "TEMPLATE_ROOT", str(template))
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert pre_gen_project.main() == status
    assert bool(capsys.readouterr().err) == bool(status)


def test_a_path_to_prune_that_is_missing_fails_the_bake(
    bakery: Bakery, copy_of_template: Template, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = copy_of_template.settings
    module = next(iter(registry["_modules"]))
    registry["_modules"][module]["paths"] = ["docs/nowhere.md"]
    (copy_of_template.root / "cookiecutter.json").write_text(json.dumps(registry), encoding="utf-8")
    with pytest.raises(BakeError, match="Hook script failed"):
        bakery.bake(copy_of_template, Combination(()))
    assert "lacks what it should prune: docs/nowhere.md" in capfd.readouterr().err


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"])
def test_hooks_and_rules_run_on_every_python(template: Path, project: Path, version: str) -> None:
    """They run on the Python that runs cookiecutter, not on one of the project's."""
    program = f"""
import json, os, sys
os.environ["PYENV_ROOT"] = {str(template)!r}
sys.path.insert(0, {str(ROOT)!r})
from django_signals_rules import choices_of
from hooks import post_gen_project, pre_gen_project
pre_gen_project.ANSWERS = post_gen_project.ANSWERS = sys.argv[1]
pre_gen_project.TEMPLATE_ROOT = {str(template)!r}
first = pre_gen_project.main()
os.chdir({str(project)!r})
print(first, post_gen_project.main())
import django_signals_rules
print(django_signals_rules.usable_slug("class"))
"""
    python = python_of(version)
    if python is None:
        pytest.skip(f"Python {version} cannot be found")
    done = run([*python, "-c", program, json.dumps(answers())], folder=template)
    assert done.returncode == 0, done.stderr
    assert "0 0" in done.stdout
    assert done.stdout.endswith("class_project\n")
    assert files(project) == ["apps/kept/a.py", "docs/kept.md", "lists/listed.py"]


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (
            ["3.9.18", "3.12.1", "3.13.9", "3.13.10", "3.15.0rc1", "pypy3.11-7.3", "mine"],
            "3.13.10\n",
        ),
        (["3.11.7", "3.15.0b2"], None),
        ([], None),
    ],
)
def test_the_newest_python_that_pyenv_hides_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], written: str | None
) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    for name in names:
        (tmp_path / "pyenv" / "versions" / name).mkdir(parents=True)
    post_gen_project.show_pythons_of_pyenv(str(tmp_path))
    file = tmp_path / ".python-version"
    assert (file.read_text() if file.exists() else None) == written


def test_the_least_python_is_that_of_the_project() -> None:
    text = (TEMPLATE.source / "pyproject.toml").read_text(encoding="utf-8")
    least = ".".join(map(str, post_gen_project.LEAST_PYTHON))
    assert f'requires-python = ">={least}"' in text


def test_the_hooks_use_the_standard_library_only() -> None:
    for name in ("pre_gen_project", "post_gen_project"):
        done = run(
            [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path('hooks/{name}.py')"],
            folder=ROOT,
        )
        assert done.returncode == 0, done.stderr


def test_the_bake_says_what_to_do_next(bakery: Bakery, capfd: pytest.CaptureFixture[str]) -> None:
    project = bakery.bake(TEMPLATE, TEMPLATE.all_on(), project_name="Ledger")
    said = capfd.readouterr().out
    assert f"Ledger is ready in {project.path}" in said
    assert all(module in said for module in TEMPLATE.registry)
    assert "uv run manage.py runserver" in said
