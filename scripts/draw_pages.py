"""Draw docs/pages.png, the picture of a project's pages in the README, from a real project.

``make draw`` runs this. The picture records the digest of the templates and styles that it shows.
While they stay the same, nothing is drawn. ``--check`` compares the digest too: exit status 1 when
the picture is out of date. Only drawing needs Chromium.
"""

import argparse
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from scripts.throwaway import bake, installed, run  # noqa: E402

PICTURE: Final = "docs/pages.png"
APPS: Final = "{{cookiecutter.project_slug}}/apps"
# The apps whose templates and styles the picture shows.
SHOWN: Final = ("core", "signal_map", "taskboard")
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
SIZE: Final = (1400, 900)
# Each page with its size on the screen, and the place and the width that it gets in the picture.
PAGES: Final = {
    "/": ((800, 568), (16, 16), 600),
    "/taskboard/projects/example/": ((800, 568), (16, 458), 600),
    "/admin/signals/?sender=taskboard.Task_assignees": ((1000, 1157), (632, 16), 752),
}
TIMEOUT: Final = 60.0  # seconds until the server has to answer

# These settings log a user in, since the browser cannot fill in a form.
SETTINGS: Final = """
from config.settings import *

MIDDLEWARE = [*MIDDLEWARE, "pictured.log_in"]


def log_in(get_response):
    from apps.accounts.models import User

    def answer(request):
        request.user = User.objects.get()
        return get_response(request)

    return answer
"""
# A part of a PNG file: its length, its kind, its content and a checksum.
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
KIND: Final = b"tEXt"
KEYWORD: Final = b"Templates\0"


def main() -> int:
    """Draw or check the picture; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare instead of drawing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the template (this one)")
    parser.add_argument("--python", type=Path, help="an interpreter with the project's packages")
    options = parser.parse_args()
    picture = options.root / PICTURE
    wanted = digest(options.root)
    if picture.exists() and recorded(picture.read_bytes()) == wanted:
        return 0
    if options.check:
        print(f"{PICTURE} is out of date: run make draw.")
        return 1
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(
            f"{PICTURE} is out of date, and there is no Chromium to draw it:"
            " install it, for example with apt-get install chromium, and run make draw again."
        )
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(options.root, Path(folder), browser, options.python)
    picture.write_bytes(with_record(drawn, wanted))
    print(f"Wrote {PICTURE}.")
    return 0


def digest(root: Path) -> str:
    """Return the digest of the templates and styles of the apps that the picture shows."""
    found = hashlib.sha256()
    folders = [root / APPS / app / kind for app in SHOWN for kind in ("templates", "static")]
    for path in sorted(path for folder in folders for path in folder.rglob("*.*")):
        name = path.relative_to(root).as_posix()
        found.update(f"{name}\n{path.read_text(encoding='utf-8')}\n".encode())
    return found.hexdigest()


def recorded(picture: bytes) -> str:
    """Return the digest that a picture records; an empty text if it records none."""
    _, found, rest = picture.partition(KIND + KEYWORD)
    return rest[:64].decode("ascii") if found else ""


def with_record(picture: bytes, value: str) -> bytes:
    """Add the digest to a picture, behind its first part, which has its size."""
    content = KIND + KEYWORD + value.encode("ascii")
    part = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end_of_first = len(SIGNATURE) + 25
    return picture[:end_of_first] + part + picture[end_of_first:]


def draw(root: Path, folder: Path, browser: str, python: Path | None) -> bytes:
    """Bake, fill and serve a project; return the picture of its pages."""
    modules = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))["_modules"]
    project = bake(root, folder, modules)
    (project / "pictured.py").write_text(SETTINGS, encoding="utf-8")
    manage = [str(python or installed(project)), "manage.py"]
    run([*manage, "migrate", "--verbosity=0"], project)
    add_user = "from apps.accounts.models import User; User.objects.create_superuser('ada')"
    run([*manage, "shell", "--command", add_user], project)
    run([*manage, "fill_taskboard"], project)
    frames = []
    with served(manage, project) as address:
        for number, (page, (size, place, width)) in enumerate(PAGES.items()):
            photograph(browser, f"{address}{page}", size, folder / f"{number}.png")
            frames.append(
                f'<img src="{number}.png" width="{width}"'
                f' style="position: absolute; left: {place[0]}px; top: {place[1]}px;'
                ' border-radius: 8px; box-shadow: 0 1px 6px #0005">'
            )
    whole = folder / "whole.html"
    whole.write_text(f'<body style="background: #e4e9e8">{"".join(frames)}', encoding="utf-8")
    photograph(browser, whole.as_uri(), SIZE, folder / "whole.png")
    return (folder / "whole.png").read_bytes()


@contextmanager
def served(manage: list[str], project: Path) -> Iterator[str]:
    """Run the server of a project; give its address.

    Raises:
        SystemExit: when the server does not answer.
    """
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"],
        cwd=project,
        env=os.environ | {"DEBUG": "1", "DJANGO_SETTINGS_MODULE": "pictured"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(port: int) -> None:
    """Wait until the server says that it can serve requests."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            connection.request("GET", "/health/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"The server of the project does not answer on port {port}.")


def photograph(browser: str, address: str, size: tuple[int, int], to: Path) -> None:
    """Write the picture of a page.

    Args:
        browser: the path of Chromium.
        address: of the page.
        size: width and height of the browser's window, in pixels.
        to: the file.
    """
    width, height = size
    run(
        [
            browser,
            "--headless",
            "--no-sandbox",  # without it Chromium refuses to run as root
            "--hide-scrollbars",
            f"--window-size={width},{height}",
            f"--screenshot={to}",
            address,
        ],
        to.parent,
    )


if __name__ == "__main__":
    sys.exit(main())
