"""Brokers that are servers, where they can be reached, and a door in front of one."""

import os
import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from kombu import Connection, Exchange, Queue
from kombu.exceptions import OperationalError

URLS = {
    "redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "rabbitmq": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}


def why_away(url: str) -> str:
    """Say why a server cannot be reached; nothing when it can."""
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
    except OperationalError as error:
        return f"{url.rpartition('@')[2]} cannot be reached: {error}"
    return ""


def remove(url: str, queue: str) -> None:
    """Leave nothing behind on a server."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        Queue(queue, Exchange(queue), channel=channel).delete()
        Exchange(queue, channel=channel).delete()
        if url.startswith("redis"):
            keys = [f"_kombu.{kind}.{queue}" for kind in ("binding", "binding_permanent")]
            channel.client.delete(*keys)


class Door:
    """Passes connections to 127.0.0.1 on to a server, once it is open.

    ``url`` is the server's with the door in place of its address.
    """

    def __init__(self, url: str) -> None:
        server = urlsplit(url)
        self._server = (server.hostname or "127.0.0.1", server.port or 0)
        self._ends: list[socket.socket] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        user, at, _ = server.netloc.rpartition("@")
        here = f"{user}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = server._replace(netloc=here).geturl()
        self._passing = Event()
        self._passing.set()

    def open(self) -> None:
        """Accept connections from now on."""
        self._listener.listen()
        Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Accept everything and pass nothing on, like a server whose process is stopped."""
        self._passing.clear()

    def cut(self) -> None:
        """End all connections; another one can be made at once."""
        while self._ends:
            end = self._ends.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept nothing any more, and end all connections."""
        self._passing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        # Each end is closed by the thread that reads it, and told to the other one before.
        with source, suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
