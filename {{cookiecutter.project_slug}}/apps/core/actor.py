"""The acting user, and the request that led to it, for receivers, which see no request.

The user is looked up only when code asks. So other views cost no query and no ``Vary: Cookie``, and
a login inside the view counts.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .blocks import Block, Values

if TYPE_CHECKING:  # the log imports this module before there are models
    from django.contrib.auth.models import AbstractBaseUser
    from django.http import HttpRequest

# Commands include shells and tests.
type Source = Literal["request", "job", "command"]


@dataclass(slots=True, eq=False)
class Actor:
    """The user of a request, or a user that code names. A comparison does not look them up."""

    request: HttpRequest | None = None
    named_user: AbstractBaseUser | None = None
    outer_request: HttpRequest | None = None  # around the code that names the user
    source: Source = "command"
    request_id: str = ""  # also in a job that the request led to

    @property
    def user(self) -> AbstractBaseUser | None:
        """The acting user, or None: also for anonymous visitors and during the lookup itself."""
        source = self.request if self.named_user is None else self.named_user
        under_way = _looked_up.get()
        if under_way and any(source is one for one in under_way):
            return None  # an authentication backend asks, for example because it writes
        token = _looked_up.set((*under_way, source))
        try:
            user = self.named_user or getattr(self.request, "user", None)
            return user if user is not None and user.is_authenticated else None
        finally:
            _looked_up.reset(token)


NO_ACTOR = Actor()
_actors: ContextVar[Values[Actor]] = ContextVar("actors", default=())
# The requests and lazy users whose lookup has not ended.
_looked_up: ContextVar[tuple[object, ...]] = ContextVar("looked_up", default=())


def current_actor() -> AbstractBaseUser | None:
    """Return the acting user, or None for anonymous visitors and outside of requests.

    It may query the database, so a coroutine uses ``await request.auser()`` instead.
    """
    return _current().user


def current_impersonator() -> AbstractBaseUser | None:
    """Return the user of the request while code acts as another user, otherwise None."""
    now = _current()
    user = Actor(request=now.outer_request).user if now.outer_request else None
    return user if user and now.user and user.pk != now.user.pk else None


def current_source() -> Source:
    """Return what runs the current code: a request, a job or a command."""
    return _current().source


def current_request_id() -> str:
    """Return the id of the request that led to the current code, or an empty text."""
    return _current().request_id


def acting_as(
    user: AbstractBaseUser | None, *, source: Source | None = None, request_id: str | None = None
) -> Block[Actor]:
    """Name the acting user for a block of a command, a job or a test.

    Args:
        user: the user, a lazy object that becomes one, or None.
        source: what runs the block; by default the same as outside of it.
        request_id: the id of the request that led to the block; by default likewise.
    """

    def make() -> Actor:
        outside = _current()
        return Actor(
            named_user=user,
            outer_request=outside.request or outside.outer_request,
            source=outside.source if source is None else source,
            request_id=outside.request_id if request_id is None else request_id,
        )

    return Block(_actors, make)


def acting_in(request: HttpRequest, *, request_id: str = "") -> Block[Actor]:
    """Make the user of a request the acting one for a block."""
    actor = Actor(request=request, source="request", request_id=request_id)
    return Block(_actors, lambda: actor)


def in_a_job() -> Block[Actor]:
    """Mark a block as part of a job; the actor stays the same."""
    return Block(_actors, lambda: replace(_current(), source="job"))


def _current() -> Actor:
    actors = _actors.get()
    return actors[-1][1] if actors else NO_ACTOR
