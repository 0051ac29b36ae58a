"""Draw docs/prompt-session.svg, the picture in the README, from a real session.

The prompts and what is typed there come from cookiecutter.json. ``make draw`` runs this, and
``--check`` compares: exit status 1 when the picture is out of date.
"""

import argparse
import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.written import update  # noqa: E402

PICTURE: Final = "docs/prompt-session.svg"
COMMAND: Final = "uvx cookiecutter cookiecutter-django-signals"
COLUMNS: Final = 80
TIMEOUT: Final = 60.0  # seconds without output of the session
# A question that waits: its number first, below it the choices if it has some, a colon last.
QUESTION: Final = re.compile(r"^ *\[\d+/\d+\] .*: *\Z", re.MULTILINE | re.DOTALL)

# The answers that are typed. The first modules are chosen; every other prompt takes its default.
TYPED: Final = {
    "project_name": "Ledger",
    "author_name": "Ada Lovelace",
    "author_email": "ada@example.com",
}
CHOSEN: Final = 3

THEME: Final = TerminalTheme(
    (21, 25, 26),
    (222, 230, 230),
    [
        (21, 25, 26),
        (255, 122, 114),
        (111, 211, 168),
        (233, 196, 106),
        (121, 170, 255),
        (216, 148, 255),
        (92, 207, 230),
        (222, 230, 230),
    ],
)

# Rich's own frame loads a font from the network; this one uses what the reader has.
FRAME: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>A prompt session</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True)
class Session:
    """The output of a session, and each question as it waited for its answer."""

    shown: str
    questions: list[str]


def answers(settings: Mapping[str, Any]) -> list[str]:
    """Return what is typed at each prompt, in their order; an empty answer takes the default."""
    typed = dict(TYPED)
    for number, module in enumerate(settings["_modules"]):
        typed[module] = "y" if number < CHOSEN else "n"
    return [typed.get(name, "") for name in settings if not name.startswith("_")]


def record_session(
    folder: str, root: Path = ROOT, environment: Mapping[str, str] = os.environ
) -> Session:
    """Answer the prompts of a template in a new terminal.

    Args:
        folder: where the project goes; the record calls it ``~/code``.
        root: the template.
        environment: variables of the session, which adds some.

    Raises:
        RuntimeError: when the session prints nothing for too long, or fails.
    """
    settings = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    controller, process = start(folder, root, environment)
    coming = iter(answers(settings))
    shown, answered, questions = "", 0, []
    try:
        while chunk := next_output(controller, shown):
            shown += chunk
            asked = QUESTION.search(without_colours(shown[answered:]).replace("\r", ""))
            if asked:
                questions.append(asked[0])
                answered = len(shown)
                os.write(controller, f"{next(coming, '')}\n".encode())
    except RuntimeError:
        process.kill()
        raise
    finally:
        os.close(controller)
    if process.wait():
        raise RuntimeError(f"The session failed:\n{shown}")
    shown = shown.replace(os.path.realpath(folder), "~/code").replace(folder, "~/code")
    return Session(shown, questions)


def start(
    folder: str, root: Path, environment: Mapping[str, str]
) -> tuple[int, subprocess.Popen[bytes]]:
    """Start cookiecutter in a terminal; return the terminal's other end and the process."""
    controller, terminal = pty.openpty()
    variables = {
        **environment,
        "COLUMNS": "500",  # no line is broken, so that a question can be measured
        "HOME": folder,
        "COOKIECUTTER_CONFIG": os.devnull,
        "TERM": "xterm-256color",
        "COLORTERM": "",
    }
    variables.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "cookiecutter", "--default-config", str(root), "-o", folder],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=variables,
    )
    os.close(terminal)
    return controller, process


def next_output(controller: int, shown: str) -> str:
    """Wait for the next output of the session; return nothing when it has ended.

    Raises:
        RuntimeError: when it prints nothing for too long.
    """
    ready, _, _ = select.select([controller], [], [], TIMEOUT)
    if not ready:
        raise RuntimeError(f"The session waits for something:\n{shown}")
    try:
        return os.read(controller, 4096).decode()
    except OSError:  # Linux says so when the other side has closed the terminal
        return ""


def without_colours(shown: str) -> str:
    """Remove the colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def draw(shown: str) -> str:
    """Draw what was shown, below the command that shows it, as SVG."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text.from_ansi(shown.replace("\r\n", "\n").strip("\n")))
        return console.export_svg(code_format=FRAME, theme=THEME, unique_id="session", title="")


def main() -> int:
    """Draw or check the picture; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of drawing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = draw(record_session(folder, options.root).shown)
    return update(options.root, {PICTURE: picture}, check=options.check)


if __name__ == "__main__":
    sys.exit(main())
