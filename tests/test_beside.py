"""Beside other things: other templates in one process, other versions of cookiecutter."""

import json
import sys
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter

from tests.support.cli import Home
from tests.support.contributing import files_to_write
from tests.support.markdown import Document
from tests.support.programs import clean_environment, run
from tests.support.template import ROOT
from tests.support.tools import installed

# The name that cookiecutter's documentation gives this module, and most templates with it.
EVERYBODYS = "local_extensions"


def other_template(folder: Path) -> Path:
    """Write a template that has a filter in a module of the usual name."""
    (folder / "{{cookiecutter.slug}}").mkdir(parents=True)
    (folder / "{{cookiecutter.slug}}" / "a.txt").write_text("{{ cookiecutter.slug|loud }}\n")
    settings = {"slug": "other", "_extensions": [f"{EVERYBODYS}.loud"]}
    (folder / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / f"{EVERYBODYS}.py").write_text(
        "from cookiecutter.utils import simple_filter\n\n\n"
        "@simple_filter\ndef loud(text):\n    return text.upper()\n"
    )
    return folder


def test_templates_with_extensions_share_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may test several templates in one process, in any order."""
    monkeypatch.delitem(sys.modules, EVERYBODYS, raising=False)
    other = other_template(tmp_path / "other template")
    for number, template in enumerate([other, ROOT, other, ROOT]):
        made = cookiecutter(
            str(template),
            no_input=True,
            default_config=True,
            output_dir=str(tmp_path / str(number)),
        )
        expected = "a.txt" if template is other else "manage.py"
        assert (Path(made) / expected).exists()
    assert sys.modules[EVERYBODYS].__file__ == str(other / f"{EVERYBODYS}.py")


def test_the_example_of_the_documents_bakes_a_variant_in_the_ci_of_others(tmp_path: Path) -> None:
    """A repository of these files alone, beside a clone of the template."""
    files = files_to_write(Document((ROOT / "docs" / "ways-in.md").read_text(encoding="utf-8")))
    assert sum(text.count("\n") for text in files.values()) <= 10
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "template").symlink_to(ROOT)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = clean_environment(HOME=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    done = run(command, folder=tmp_path, environment=environment)
    assert "1 passed" in done.stdout, done.stdout + done.stderr

    (test,) = tmp_path.glob("test_*.py")
    test.write_text(test.read_text(encoding="utf-8").replace("audit", "audti"), encoding="utf-8")
    done = run(command, folder=tmp_path, environment=environment)
    assert "there is no option audti" in done.stdout


@pytest.mark.whole
@pytest.mark.parametrize("version", ["2.1.1", "2.6.0"])
def test_a_cookiecutter_that_is_too_old_is_refused(tmp_path: Path, version: str) -> None:
    home = Home(tmp_path, installed("cookiecutter", version))
    outcome = home.bake("--no-input", "audit=yes")
    assert outcome.status == 1
    said = outcome.said.strip().splitlines()[-1]
    assert said.startswith(f"cookiecutter {version} is refused: the template needs 2.7 or later")
    assert "Traceback" not in outcome.said
    assert not list(home.output.iterdir())


@pytest.mark.whole
def test_the_least_cookiecutter_bakes_what_the_pinned_one_does(tmp_path: Path) -> None:
    made = []
    for name, program in {"least": installed("cookiecutter", "2.7.0"), "pinned": None}.items():
        (tmp_path / name).mkdir()
        home = Home(tmp_path / name, program) if program else Home(tmp_path / name)
        outcome = home.bake("--no-input", "audit=yes", "signal_map=YES")
        assert outcome.status == 0, outcome.said
        files = [path for path in sorted(home.output.rglob("*")) if path.is_file()]
        made.append({str(path.relative_to(home.output)): path.read_bytes() for path in files})
    assert made[0] == made[1]
