"""Who is acting, in which request and from where, for receivers, which see no request.

The user is looked up as late as possible: a view that asks for nobody costs no query and no
``Vary: Cookie``, and a user who is authenticated inside the view is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from .blocks import block

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
    source: Source = "command"
    request_id: str = ""

    @property
    def user(self) -> AbstractBaseUser | None:
        """The acting user; None for nobody, for anonymous visitors and while it is looked up."""
        source = self.request if self.named_user is None else self.named_user
        under_way = _looked_up.get()
        if any(source is one for one in under_way):
            # An authentication backend that writes, for instance when a user was last seen.
            return None
        token = _looked_up.set((*under_way, source))
        try:
            user = self.named_user or getattr(self.request, "user", None)
            return user if user is not None and user.is_authenticated else None
        finally:
            _looked_up.reset(token)


NOBODY = Actor()
_actor: ContextVar[Actor] = ContextVar("actor", default=NOBODY)
# The requests and lazy users whose user is being looked up in this thread or coroutine.
_looked_up: ContextVar[tuple[object, ...]] = ContextVar("looked_up", default=())


def current_actor() -> AbstractBaseUser | None:
    """Return the acting user; None for nobody and for anonymous visitors.

    It may ask the database, so a coroutine uses ``await request.auser()`` instead.
    """
    return _actor.get().user


def current_request() -> HttpRequest | None:
    """Return the request being handled; None in a command, a job or a named block."""
    return _actor.get().request


def current_source() -> Source:
    """Return where the code at hand was called from: a request, a job or a command."""
    return _actor.get().source


def current_request_id() -> str:
    """Return the id of the request that this, or the job at hand, came of; empty for none."""
    return _actor.get().request_id


@block
def acting_as(
    user: AbstractBaseUser | None, *, source: Source | None = None, request_id: str | None = None
) -> Iterator[None]:
    """Name the acting user for a block of a command, a job or a test.

    Args:
        user: the user, or a lazy object that becomes one; None for nobody.
        source: where the block is called from; by default what it is outside of the block.
        request_id: the id of the request that the block came of; likewise.
    """
    outside = _actor.get()
    with _acting(
        Actor(
            named_user=user,
            source=outside.source if source is None else source,
            request_id=outside.request_id if request_id is None else request_id,
        )
    ):
        yield


@block
def acting_in(request: HttpRequest, *, request_id: str = "") -> Iterator[None]:
    """Make the user of a request the acting one for a block."""
    with _acting(Actor(request=request, source="request", request_id=request_id)):
        yield


@block
def in_a_job() -> Iterator[None]:
    """Mark a block as a job's; the actor stays who it is outside of the block."""
    with _acting(replace(_actor.get(), source="job")):
        yield


@contextmanager
def _acting(actor: Actor) -> Iterator[None]:
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)
