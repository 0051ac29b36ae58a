"""The nginx that a project's page about production documents, started in front of a project."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "nginx is not installed here: apt-get install nginx"


def find_nginx() -> str | None:
    """Return the path of nginx, which few users have on theirs."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")


def free_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def proxied(project: Path, nginx: str, folder: Path, port: int) -> Iterator[tuple[int, int]]:
    """Run nginx with the documented servers; give its ports, the plain and the secure one.

    Args:
        project: the folder of the project, whose page has the configuration.
        nginx: the program.
        folder: where its log, its certificate and everything else goes.
        port: that of the project's web server.
    """
    page = (project / "docs" / "production.md").read_text(encoding="utf-8")
    [servers] = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    plain, secure = free_port(), free_port()
    make_certificate(folder)
    configure(servers, folder, {"80": plain, "443": secure, "8000": port})
    with (folder / "nginx.said").open("w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [nginx, "-p", folder, "-e", folder / "nginx.log", "-c", folder / "nginx.conf"],
            stdout=output,
            stderr=output,
        )
    try:
        while True:
            if server.poll() is not None:
                raise RuntimeError((folder / "nginx.said").read_text("utf-8"))
            try:
                socket.create_connection(("127.0.0.1", secure)).close()
                break
            except OSError:
                time.sleep(0.1)
        yield plain, secure
    finally:
        server.terminate()
        server.wait(600)


def make_certificate(folder: Path) -> None:
    """Make a certificate that only the tests trust."""
    command: list[str | Path] = [
        *("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=localhost"),
        *("-out", folder / "fullchain.pem", "-keyout", folder / "privkey.pem"),
    ]
    subprocess.run(command, check=True, capture_output=True)


def configure(servers: str, folder: Path, ports: dict[str, int]) -> None:
    """Write a configuration of nginx for this folder and these ports.

    Raises:
        ValueError: when the page does not hold what is different here.
    """
    for there, here in (
        ("listen 80;", f"listen 127.0.0.1:{ports['80']};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{ports['443']} ssl;"),
        ("/etc/letsencrypt/live/www.example.com", str(folder)),
        ("/var/log/nginx/error.log", str(folder / "nginx.log")),
        ("127.0.0.1:8000", f"127.0.0.1:{ports['8000']}"),
    ):
        if there not in servers:
            raise ValueError(f"The page about production has no {there} for nginx.")
        servers = servers.replace(there, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder / 'nginx.pid'}; error_log {folder / 'nginx.log'};"
        f" events {{}} http {{ access_log {folder / 'nginx.log'}; {places} {servers} }}",
        encoding="utf-8",
    )
