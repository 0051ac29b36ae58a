"""Brokers for one run only, which it stops, empties or freezes."""

import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import urlsplit

from .proxy import Door


class Broker(ABC):
    """A broker that only this run uses. ``url`` is what its processes connect to."""

    url: str

    @abstractmethod
    def down(self) -> None:
        """Refuse everybody from now on, and keep what waits."""

    @abstractmethod
    def up(self) -> None:
        """Serve again after ``down``."""

    @abstractmethod
    def wipe(self, queue: str) -> None:
        """Lose everything that waits, as a restart without a disk does."""

    def hang(self) -> None:
        """Accept connections and never answer."""
        raise NotImplementedError

    def release(self) -> None:
        """Answer again after ``hang``."""
        raise NotImplementedError

    @abstractmethod
    def close(self, queue: str) -> None:
        """Leave nothing behind."""


class Memory(Broker):
    """The memory of each worker, which fails together with it and in no other way."""

    url = "memory://"

    def down(self) -> None:
        raise NotImplementedError

    def up(self) -> None:
        raise NotImplementedError

    def wipe(self, queue: str) -> None:
        raise NotImplementedError

    def close(self, queue: str) -> None:
        pass  # it has gone with the workers


class Redis(Broker):
    """A server of our own on a free port. Acknowledged messages are on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder / "redis", free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._folder.mkdir()
        self.up()

    def down(self) -> None:
        self._process.kill()
        self._process.wait()

    def up(self) -> None:
        options = {
            "port": self._port, "bind": "127.0.0.1", "dir": self._folder, "save": "",
            "appendonly": "yes", "appendfsync": "always",
        }  # fmt: skip
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen(
            ["redis-server", *words], stdout=subprocess.DEVNULL, start_new_session=True
        )
        wait_for_port(self._port, self._process)

    def wipe(self, queue: str) -> None:
        self.down()
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        self.up()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self, queue: str) -> None:
        self.down()


class RabbitMQ(Broker):
    """A queue of our own on a server that others use too, behind a door that we shut."""

    def __init__(self, url: str) -> None:
        self._direct = url
        server = urlsplit(url)
        self._door = Door(server.hostname or "127.0.0.1", server.port or 5672)
        user = server.netloc.rpartition("@")[0]
        self.url = f"{server.scheme}://{user}@127.0.0.1:{self._door.port}{server.path}"

    def down(self) -> None:
        self._door.shut()

    def up(self) -> None:
        self._door.open()

    def wipe(self, queue: str) -> None:
        self._door.shut()
        self._delete(queue)
        self._door.open()

    def hang(self) -> None:
        self._door.hold()

    def release(self) -> None:
        self._door.release()

    def close(self, queue: str) -> None:
        self._door.release()
        self._door.shut()
        self._delete(queue)

    def _delete(self, queue: str) -> None:
        from kombu import Connection, Exchange, Queue

        with Connection(self._direct, connect_timeout=600) as connection:
            channel = connection.default_channel
            Queue(queue, Exchange(queue), channel=channel).delete()
            Exchange(queue, channel=channel).delete()


def broker_of(kind: str, folder: Path, url: str) -> Broker:
    """Return a broker by its name; ``url`` is that of the RabbitMQ server."""
    if kind == "redis":
        return Redis(folder)
    return RabbitMQ(url) if kind == "rabbitmq" else Memory()


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return as soon as somebody listens on the port.

    Raises:
        OSError: when the server has ended before.
    """
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None:
                raise OSError(f"Nobody listens on 127.0.0.1:{port}.") from None
            time.sleep(0.02)
