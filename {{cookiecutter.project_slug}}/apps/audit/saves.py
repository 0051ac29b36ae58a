"""Saves that are under way: what their rows held before, and one transaction with the entry.

Receivers may save, delete or link further objects, or the very one whose save
they were called for. The trail must then tell the steps in the order in which
they reached the database. So whoever is about to record something first settles
the saves that are still open further out.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final

from django.db import models, router, transaction

from . import registry, rows
from .registry import Audited

# For each call of ``save_base``, the outermost first: its instance, and the rows it writes.
type Calls = tuple[tuple[models.Model, list["OpenSave"]], ...]

_calls: Final = ContextVar[Calls]("calls", default=())


@dataclass(slots=True, eq=False)
class OpenSave:
    """The save of one row, from before its write to after its receivers."""

    audited: Audited
    instance: models.Model
    using: str
    fields: tuple[models.Field, ...]
    before: rows.Row | None = field(init=False)
    settled: bool = False

    def __post_init__(self) -> None:
        self.before = rows.read(self.audited, self.instance.pk, self.using, self.fields, lock=True)

    def settle(self, more: tuple[models.Field, ...] = ()) -> None:
        """Record what the save has done so far, and look at ``more`` fields from now on."""
        self.settled = True
        self.fields = tuple(dict.fromkeys((*self.fields, *more)))
        self._record(rows.read(self.audited, self.instance.pk, self.using, self.fields))

    def finish(self) -> None:
        """Record what the save has done."""
        if self.settled:
            # The instance may no longer be what is in the database.
            self.settle()
        else:
            self._record(rows.written(self.audited, self.instance, self.using, self.fields))

    def _record(self, after: rows.Row | None) -> None:
        if after is not None:
            rows.record(self.audited, self.instance, self.using, self.before, after)
        self.before = after


def make_atomic(model: type[models.Model]) -> None:
    """Make every save of a model, its proxies and its children one transaction with its entry.

    ``Model.save_base`` is where Django sends ``pre_save`` and ``post_save``; in
    autocommit it would commit in between.
    """
    save_base: Callable[..., None] = model.save_base
    if hasattr(save_base, "is_audited"):
        return

    @wraps(save_base)
    def audited_save_base(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or (args[3] if len(args) > 3 else None)
        using = using or router.db_for_write(type(self), instance=self)
        token = _calls.set((*_calls.get(), (self, [])))
        try:
            with transaction.atomic(using=using, savepoint=False):
                save_base(self, *args, **kwargs)
        finally:
            _calls.reset(token)

    audited_save_base.is_audited = True  # type: ignore[attr-defined]
    model.save_base = audited_save_base  # type: ignore[method-assign]


def begin(instance: models.Model, using: str, update_fields: frozenset[str] | None) -> None:
    """Remember what the row of an instance holds before it is saved."""
    settle()
    saves = _innermost(instance)
    if saves is None:
        return
    for audited in registry.covering(type(instance)):
        fields = registry.fields_of(audited)
        if update_fields is not None:
            fields = tuple(f for f in fields if {f.name, f.attname} & update_fields)
            if not fields:
                continue
        save = _same_row(audited, instance, using)
        if save:
            save.settle(fields)
        saves.append(save or OpenSave(audited, instance, using, fields))


def finish(instance: models.Model) -> None:
    """Record what the save of an instance has done."""
    saves = _innermost(instance) or []
    for save in saves:
        save.finish()
    saves.clear()


def settle() -> None:
    """Record what all saves that are still open have done so far."""
    for _, saves in _calls.get():
        for save in saves:
            save.settle()


def _innermost(instance: models.Model) -> list[OpenSave] | None:
    """Return the rows of the call at hand; None for a signal that no call has sent."""
    calls = _calls.get()
    return calls[-1][1] if calls and calls[-1][0] is instance else None


def _same_row(audited: Audited, instance: models.Model, using: str) -> OpenSave | None:
    """Return the save of the same row that is open further out; unsaved objects have no row."""
    for _, saves in _calls.get() if instance.pk is not None else ():
        for save in saves:
            if (save.audited, save.instance.pk, save.using) == (audited, instance.pk, using):
                return save
    return None
