"""The picture of pages in the README is small, and shows the templates and styles of today."""

import shutil
import zlib
from pathlib import Path

import pytest

from scripts.draw_pages import APPS, BROWSERS, PICTURE, SHOWN, digest, recorded, with_record
from tests.support.bakery import Bakery
from tests.support.repository import copied_repository, script_run
from tests.support.template import ROOT, Template

SCRIPT = "scripts/draw_pages.py"
STALE = f"{PICTURE} is out of date: run make draw.\n"
# The least that a PNG file may be: a header without an image.
HEADER = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIHDR" + bytes(17)


@pytest.fixture
def repository(tmp_path: Path) -> Template:
    return copied_repository(tmp_path / "clone")


def test_the_picture_is_up_to_date_and_small() -> None:
    picture = (ROOT / PICTURE).read_bytes()
    assert recorded(picture) == digest(ROOT), "run: make draw"
    assert len(picture) < 200_000


def test_the_readme_shows_the_picture_above_its_commands() -> None:
    first, _, _ = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Two commands")
    assert f"]({PICTURE})" in first
    (alternative,) = [line for line in first.splitlines() if line.startswith("![")]
    assert len(alternative.partition("](")[0].split()) > 5


@pytest.mark.parametrize("app", SHOWN)
def test_a_change_of_a_style_is_noticed(repository: Template, app: str) -> None:
    assert script_run(repository, SCRIPT, "--check").returncode == 0
    style = next((repository.root / APPS / app / "static").rglob("*.css"))
    style.write_text(f"{style.read_text(encoding='utf-8')}\na {{}}\n", encoding="utf-8")
    done = script_run(repository, SCRIPT, "--check")
    assert (done.returncode, done.stdout) == (1, STALE)


def test_a_lost_picture_is_noticed(repository: Template) -> None:
    (repository.root / PICTURE).unlink()
    assert script_run(repository, SCRIPT, "--check").stdout == STALE


def test_a_record_is_a_part_that_viewers_of_pictures_skip() -> None:
    written = with_record(HEADER + b"rest", "0123456789abcdef" * 4)
    assert recorded(written) == "0123456789abcdef" * 4
    assert written.startswith(HEADER)
    assert written.endswith(b"rest")
    part = written[len(HEADER) : -len(b"rest")]
    assert int.from_bytes(part[:4]) == len(part) - 12
    assert int.from_bytes(part[-4:]) == zlib.crc32(part[4:-4])
    assert recorded(HEADER) == ""


@pytest.mark.whole
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="there is no Chromium")
def test_the_picture_can_be_drawn(repository: Template, bakery: Bakery) -> None:
    (repository.root / PICTURE).unlink()
    python = bakery.environment().program("python")
    done = script_run(repository, SCRIPT, "--python", str(python))
    assert (done.returncode, done.stdout) == (0, f"Wrote {PICTURE}.\n"), done.stderr
    assert script_run(repository, SCRIPT, "--check").returncode == 0
