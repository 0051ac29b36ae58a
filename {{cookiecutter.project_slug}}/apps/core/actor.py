"""Who is acting, in which request and from where, for receivers, which see no request.

The user is looked up as late as possible: a view that asks for nobody costs no query and no
``Vary: Cookie``, and a user who is authenticated inside the view is seen.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .blocks import Block, Values

if TYPE_CHECKING:  # the log asks for the request before there are models
    from django.contrib.auth.models import AbstractBaseUser
    from django.http import HttpRequest

# A person's request, a background job, or anything else that runs the project's code: a
# command, a shell, a test.
type Source = Literal["request", "job", "command"]


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """What acts at the moment: the user of a request, or a user named by code.

    ``request_id`` names the request that it came of, also in a job; it may be empty. Compared by
    identity: a comparison by value would look the user up.
    """

    request: HttpRequest | None = None
    named_user: AbstractBaseUser | None = None
    outer_request: HttpRequest | None = None  # around the code that has named the user
    source: Source = "command"
    request_id: str = ""

    @property
    def user(self) -> AbstractBaseUser | None:
        """The acting user; None for nobody, for anonymous visitors and while it is looked up."""
        source = self.request if self.named_user is None else self.named_user
        if any(source is one for _, one in _looked_up.get()):
            # An authentication backend that writes, for instance when a user was last seen.
            return None
        with Block(_looked_up, lambda: source):
            user = self.named_user or getattr(self.request, "user", None)
            return user if user is not None and user.is_authenticated else None


NOBODY = Actor()
_actors: ContextVar[Values[Actor]] = ContextVar("actors", default=())
# The requests and lazy users whose user is being looked up in this thread or coroutine.
_looked_up: ContextVar[Values[object]] = ContextVar("looked_up", default=())


def current_actor() -> AbstractBaseUser | None:
    """Return the acting user; None for nobody and for anonymous visitors.

    It may ask the database, so a coroutine uses ``await request.auser()`` instead.
    """
    return _now().user


def current_impersonator() -> AbstractBaseUser | None:
    """Return the user of the request in which code acts as another user; None without such code."""
    now = _now()
    user = Actor(request=now.outer_request).user if now.outer_request else None
    return user if user and now.user and user.pk != now.user.pk else None


def current_source() -> Source:
    """Return where the code at hand was called from: a request, a job or a command."""
    return _now().source


def current_request_id() -> str:
    """Return the id of the request that this, or the job at hand, came of; empty for none."""
    return _now().request_id


def acting_as(
    user: AbstractBaseUser | None, *, source: Source | None = None, request_id: str | None = None
) -> Block[Actor]:
    """Name the acting user for a block of a command, a job or a test.

    Args:
        user: the user, or a lazy object that becomes one; None for nobody.
        source: where the block is called from; by default what it is outside of the block.
        request_id: the id of the request that the block came of; likewise.
    """

    def make() -> Actor:
        outside = _now()
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
    """Mark a block as a job's; the actor stays who it is outside of the block."""
    return Block(_actors, lambda: replace(_now(), source="job"))


def _now() -> Actor:
    actors = _actors.get()
    return actors[-1][1] if actors else NOBODY
