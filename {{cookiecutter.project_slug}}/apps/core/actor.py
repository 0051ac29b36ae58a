"""Who is acting: the user behind a change, for receivers, which see no request.

The middleware puts the request into a context variable and takes it out again
when the response is made. The user is looked up as late as possible: a view
that asks for nobody costs no query and no ``Vary: Cookie``, and a user who is
authenticated or logged in inside the view is seen.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """What acts at the moment: the user of a request, or a user named by code.

    Compared by identity: a comparison by value would look the user up.
    """

    request: HttpRequest | None = None
    named_user: AbstractBaseUser | None = None

    @property
    def user(self) -> AbstractBaseUser | None:
        """The acting user; None for nobody and for anonymous visitors."""
        user = self.named_user or getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None


NOBODY = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=NOBODY)


def current_actor() -> AbstractBaseUser | None:
    """Return the acting user; None for nobody and for anonymous visitors.

    Looks the session's user up when nothing has done so before, so call it
    from synchronous code, such as a receiver; a coroutine has the user at
    hand in ``await request.auser()``.
    """
    return _actor.get().user


def current_request() -> HttpRequest | None:
    """Return the request being handled; None in a command, a job or a named block."""
    return _actor.get().request


@contextmanager
def acting_as(user: AbstractBaseUser | None) -> Iterator[None]:
    """Name the acting user for a block of a command, a job or a test.

    Args:
        user: the user, or a lazy object that becomes one; None for nobody.
    """
    with _acting(Actor(named_user=user)):
        yield


@contextmanager
def acting_in(request: HttpRequest) -> Iterator[None]:
    """Make the user of a request the acting one for a block."""
    with _acting(Actor(request=request)):
        yield


@contextmanager
def _acting(actor: Actor) -> Iterator[None]:
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)
