"""Draw docs/prompt-session.svg, the picture in the README, from a real session.

Run ``uv run scripts/draw_prompt_session.py`` to draw it anew, and with
``--check`` to compare: exit status 1 when the picture is out of date.
"""

import argparse
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "prompt-session.svg"
COMMAND: Final = "uvx cookiecutter cookiecutter-django-signals"
COLUMNS: Final = 100
TIMEOUT: Final = 60.0  # seconds without a word from the session

# What is typed at each prompt, in their order; an empty answer takes the default.
ANSWERS: Final = ["Ledger", "", "", "Ada Lovelace", "ada@example.com", "y", "y", "y", "n", "n"]

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


def record_session(folder: str) -> str:
    """Answer the prompts in a terminal of its own; return what a person would have seen.

    Raises:
        RuntimeError: when the session stops talking or fails.
    """
    controller, terminal = pty.openpty()
    environment = os.environ | {
        "COLUMNS": str(COLUMNS),
        "HOME": folder,
        "COOKIECUTTER_CONFIG": os.devnull,
        "TERM": "xterm-256color",
        "COLORTERM": "",
    }
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "cookiecutter", "--default-config", str(ROOT), "-o", folder],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
    )
    os.close(terminal)
    shown = ""
    answers = iter(ANSWERS)
    answered = 0
    while True:
        ready, _, _ = select.select([controller], [], [], TIMEOUT)
        if not ready:
            process.kill()
            raise RuntimeError(f"The session waits for something:\n{shown}")
        try:
            chunk = os.read(controller, 4096).decode()
        except OSError:  # Linux says so when the other side has closed the terminal
            chunk = ""
        if not chunk:
            break
        shown += chunk
        prompts = len(re.findall(r"\[\d+/\d+\]", plain(shown)))
        if prompts > answered and plain(shown).rstrip(" ").endswith(":"):
            answered = prompts
            os.write(controller, f"{next(answers)}\n".encode())
    os.close(controller)
    if process.wait():
        raise RuntimeError(f"The session failed:\n{shown}")
    return shown.replace(os.path.realpath(folder), "~/code").replace(folder, "~/code")


def plain(shown: str) -> str:
    """Strip the colours."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of drawing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        picture = draw(record_session(folder))
    if not check:
        PICTURE.write_text(picture, encoding="utf-8")
        print(f"Drew {PICTURE.relative_to(ROOT)}.")
        return 0
    if not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != picture:
        print(f"{PICTURE.relative_to(ROOT)} is out of date: run scripts/draw_prompt_session.py.")
        return 1
    print(f"{PICTURE.relative_to(ROOT)} shows the session as it is.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
