"""RabbitMQ has every message of a batch, or the relay knows that it has not."""

from typing import Any

import pytest
from amqp.exceptions import MessageNacked

from apps.handoff.batches import Confirmations


class Channel:
    """A channel, and the connection whose answers are given one by one."""

    def __init__(self, *answers: tuple[str, int, bool]) -> None:
        self.connection, self.answers = self, list(answers)
        self.events: dict[str, set[Any]] = {"basic_ack": set(), "basic_nack": set()}
        self.sent: list[str] = []
        self.basic_publish: Any = None

    def _basic_publish(self, message: str) -> None:
        self.sent.append(message)

    def confirm_select(self) -> None:
        pass

    def drain_events(self, timeout: float) -> None:
        if not self.answers:
            raise TimeoutError
        kind, *answer = self.answers.pop(0)
        for callback in self.events[kind]:
            callback(*answer)


def waited_for(*answers: tuple[str, int, bool]) -> Channel:
    """Publish three messages and wait for the answers."""
    channel = Channel(*answers)
    confirmations = Confirmations(channel)
    for message in ("a", "b", "c"):
        channel.basic_publish(message)
    confirmations.wait()
    return channel


def test_messages_are_confirmed_one_by_one_and_many_at_once() -> None:
    one_by_one = [("basic_ack", 2, False), ("basic_ack", 1, False), ("basic_ack", 3, False)]
    assert waited_for(*one_by_one).sent == ["a", "b", "c"]

    many = [("basic_ack", 2, True), ("basic_ack", 3, False), ("basic_ack", 3, False)]
    assert len(waited_for(*many).answers) == 1


def test_a_message_without_an_answer_is_noticed() -> None:
    with pytest.raises(TimeoutError):
        waited_for(("basic_ack", 1, False), ("basic_ack", 3, False))


def test_a_message_that_is_refused_is_noticed() -> None:
    with pytest.raises(MessageNacked):
        waited_for(("basic_nack", 1, False), ("basic_ack", 3, True))
