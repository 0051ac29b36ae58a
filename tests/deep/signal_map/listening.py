"""Receivers with every mistake that a system check knows, and their right forms beside them."""

from collections.abc import Callable
from functools import partial, wraps
from inspect import unwrap
from typing import Any

from django.db.models.signals import post_save
from django.dispatch import Signal
from django.dispatch import receiver as django_receiver

from apps.accounts.models import User

listened, closed = Signal(), Signal()


def documented(sender: Any, **kwargs: Any) -> None:
    """Do nothing, when the signal is sent."""


def undocumented(sender: Any, **kwargs: Any) -> None:
    pass


def without_kwargs(sender: Any, instance: Any) -> None:
    """Do nothing, and fail."""


async def asynchronous(sender: Any, **kwargs: Any) -> None:
    """Do nothing, when the signal is sent."""


def made(number: int) -> Callable[..., None]:
    """Make a receiver that nothing but its caller holds."""

    def local(sender: Any, **kwargs: Any) -> None:
        """Return, whatever the number."""
        assert number

    return local


class Listener:
    """Has a method that listens."""

    def listen(self, sender: Any, **kwargs: Any) -> None:
        """Do nothing, when the signal is sent."""

    @classmethod
    def listen_as_class(cls, sender: Any, **kwargs: Any) -> None:
        """Do nothing, when the signal is sent."""


listener = Listener()
held_partial = [partial(documented)]
held_lambda = {"one": [lambda sender, **kwargs: None]}
held_lambda["one"][0].__doc__ = "Do nothing, when the signal is sent."


def around(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    return run


@around
def decorated(sender: Any, **kwargs: Any) -> None:
    """Do nothing, when the signal is sent."""


def connect_closure() -> Any:
    local = made(1)
    post_save.connect(local, sender=User)
    return local  # or it would be gone at once


def connect_method() -> Any:
    short_lived = Listener()
    post_save.connect(short_lived.listen, sender=User)
    return short_lived


def connect_partial() -> Any:
    part = partial(documented)
    post_save.connect(part, sender=User)
    return part


def connect_with_a_decorator_above() -> None:
    post_save.connect(decorated, sender=User)
    django_receiver(closed)(unwrap(decorated))


def connect_twice() -> None:
    post_save.connect(documented, sender=User, dispatch_uid="one")
    post_save.connect(documented, sender=User, dispatch_uid="another")


def connect_to_one_and_all() -> None:
    listened.connect(documented)
    listened.connect(documented, sender=User)


def connect_once_for_each() -> None:
    listened.connect(documented, sender=User)
    listened.connect(documented, sender=str)


def connect_two_closures() -> None:
    listened.connect(made(1), weak=False)
    listened.connect(made(2), weak=False)


def renamed(sender: Any, **kwargs: Any) -> None:
    """Do nothing, when the signal is sent."""


written = renamed


def decorate_above(
    connect: Callable[[Callable[..., Any]], Any], around: Callable[[Any], Any]
) -> None:
    """Leave a name in this module as a decorator above one that connects does."""
    globals()["renamed"] = around(connect(written))
