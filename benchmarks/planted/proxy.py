"""A door in front of a server that others use too: it can be shut, or held, for one run alone."""

import contextlib
import selectors
import socket
import threading
from typing import Final

CHUNK: Final = 65536


class Door:
    """Passes connections to 127.0.0.1 on to a server, unless it is shut or held.

    ``port`` is where it listens. Shut, it refuses connections and cuts those that were there;
    held, it accepts them and passes nothing on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._passing = threading.Event()
        self._lock = threading.Lock()
        self.port = 0
        self.open()

    def open(self) -> None:
        """Listen, always on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._passing.set()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Refuse connections and cut those that are there."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _cut(*pair)

    def hold(self) -> None:
        """Accept connections and pass nothing on."""
        self._passing.clear()

    def release(self) -> None:
        """Pass on what was held."""
        self._passing.set()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._passing.wait()
        try:
            server = socket.create_connection(self._server, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._pairs.add((client, server))
        try:
            self._pass_on(client, server)
        finally:
            with self._lock:
                self._pairs.discard((client, server))
            _cut(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError, ValueError):
            selector.register(client, selectors.EVENT_READ, (client, server))
            selector.register(server, selectors.EVENT_READ, (server, client))
            while True:
                for key, _ in selector.select():
                    self._passing.wait()
                    source, sink = key.data
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    sink.sendall(data)


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
