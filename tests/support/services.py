"""The servers that some tests talk to."""

import os
import socket

import pytest

SERVICES = {"PostgreSQL": 5432, "Redis": 6379, "RabbitMQ": 5672}


def require_services() -> None:
    """Skip the test when a server is away; fail it instead when REQUIRE_SERVICES is set."""
    away = [f"{name} on 127.0.0.1:{port}" for name, port in SERVICES.items() if not answers(port)]
    if away and os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(f"REQUIRE_SERVICES is set, and {', '.join(away)} cannot be reached.")
    if away:
        pytest.skip(f"{', '.join(away)} cannot be reached.")


def answers(port: int) -> bool:
    """Whether something on this machine accepts connections at a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
