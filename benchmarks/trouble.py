"""The trouble of a site: clients that are slow, and a pool of database connections that dies."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

from benchmarks.proxy import free_port

SLOW = 4  # clients
PAUSE = 0.3  # seconds between two bytes of one

# A pool as the project sees it: it accepts connections and passes them on to the database.
POOL = """
import socket, sys, threading

def pass_on(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

port, host, to = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
listener = socket.create_server(("127.0.0.1", port), backlog=512)
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    server = socket.create_connection((host, to))
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pass_on, args=pair, daemon=True).start()
"""


class Pool:
    """A pool in front of the database, in a process that can be frozen and replaced."""

    def __init__(self, address: str) -> None:
        server = urlsplit(address)
        self._server = (server.hostname or "127.0.0.1", server.port or 5432)
        self._port = free_port()
        user, at, _ = server.netloc.rpartition("@")
        self.address = server._replace(netloc=f"{user}{at}127.0.0.1:{self._port}").geturl()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        words = [str(self._port), self._server[0], str(self._server[1])]
        process = subprocess.Popen(
            [sys.executable, "-c", POOL, *words], stdout=subprocess.PIPE, text=True
        )
        if process.stdout:
            process.stdout.readline()
        return process

    def freeze(self) -> None:
        """Be dead: connections, old and new, are accepted and never answered."""
        self._process.send_signal(signal.SIGSTOP)

    def replace(self) -> None:
        """Start another one in the place of the dead one, whose connections end."""
        self.close()
        self._process = self._start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@dataclass
class Watched:
    """The results of the trouble; filled by many threads."""

    limit: float = 1  # seconds for the probe of liveness
    dead: list[tuple[float, float]] = field(default_factory=list)
    dead_since: datetime | None = None
    seconds: list[float] = field(default_factory=list)
    unanswered: int = 0
    bytes_of: dict[int, int] = field(default_factory=dict)

    def report(self) -> dict[str, object]:
        """Return the results, for people."""
        return {
            "dead_seconds": round(sum(end - begin for begin, end in self.dead), 1),
            "bytes_of_slow_clients": sorted(self.bytes_of.values()),
            "liveness_asked": len(self.seconds),
            "liveness_unanswered": self.unanswered,
            "liveness_slowest_ms": round(max(self.seconds, default=0) * 1000),
        }

    def right(self) -> bool:
        """Say whether there was trouble, and liveness was answered in time throughout."""
        troubled = self.dead and len(self.bytes_of) == SLOW
        return bool(troubled) and not self.unanswered and max(self.seconds) < self.limit

    def excuses(self, started: float, ended: float) -> bool:
        """Say whether the pool was dead during some of a request."""
        return any(started < end and ended > begin for begin, end in self.dead)


def trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def troubled(
    watched: Watched, behind: int, secure: int, pool: Pool, host: str, wait: float, dead: float
) -> Iterator[None]:
    """Let four clients be slow and the pool be dead for a while, and watch liveness.

    Args:
        watched: gets the results.
        behind: the port of the project's web server, which probes ask.
        secure: the port of the proxy, which clients ask.
        pool: that of the database.
        host: the name of the site.
        wait: seconds until the pool is dead.
        dead: seconds until it is replaced.
    """
    over = threading.Event()

    def die() -> None:
        if over.wait(wait):
            return
        begin = time.monotonic()
        # Open at its end for as long as it lasts.
        watched.dead.append((begin, float("inf")))
        watched.dead_since = datetime.now(UTC)
        pool.freeze()
        time.sleep(dead)
        pool.replace()
        watched.dead[-1] = (begin, time.monotonic())

    threads = [
        threading.Thread(target=die),
        threading.Thread(target=ask, args=(behind, watched, over)),
        *(
            threading.Thread(target=be_slow, args=(secure, number, host, watched, over))
            for number in range(SLOW)
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def ask(port: int, watched: Watched, over: threading.Event) -> None:
    """Ask whether the process is alive, again and again."""
    while not over.wait(0.1):
        started = time.monotonic()
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/health/live/")
            watched.unanswered += connection.getresponse().status != 200
        except OSError:
            watched.unanswered += 1
        finally:
            connection.close()
        watched.seconds.append(time.monotonic() - started)


def be_slow(port: int, number: int, host: str, watched: Watched, over: threading.Event) -> None:
    """Send a request byte by byte: half of the clients its head, the others its body."""
    head = f"POST /accounts/login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n"
    context = trusting()
    while not over.is_set():
        # The proxy drops slow clients, which then come back.
        with suppress(OSError):
            plain = socket.create_connection(("127.0.0.1", port), timeout=60)
            with context.wrap_socket(plain, server_hostname=host) as client:
                client.sendall((head + ("X-Slow: " if number % 2 else "\r\n")).encode())
                while not over.wait(PAUSE):
                    client.sendall(b"x")
                    watched.bytes_of[number] = watched.bytes_of.get(number, 0) + 1
