"""Bringing a former state of an object back in the admin: what would change, and what cannot."""

from copy import copy
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import F, Func, ManyToManyField, Model, QuerySet, UniqueConstraint

from . import registry
from .lineage import LAST
from .models import Entry
from .presentation import MOST_LINKS, Page, fields_of, text_of
from .restore import restore, state_after, state_before

REFUSED: Final = (
    "The database has refused this state, so nothing was changed. Another object has a value that"
    " must be unique, a required value is missing, or an object that this one needs is gone."
)


class Preview:
    """The changes that would bring back the state of an entry.

    ``step`` holds them in the form of an entry, to be shown like one. ``left_out`` lists the
    fields that cannot be brought back, with the reasons. If ``is_blocked``, they prevent it all.
    It raises ``CannotRestoreError`` as ``state_after`` does.
    """

    def __init__(self, entry: Entry) -> None:
        is_deletion = entry.action == Entry.Action.DELETE
        self.entry, self.state = entry, (state_before if is_deletion else state_after)(entry)
        self.step = copy(entry)
        self.step.pk, self.step.model_label = LAST, self.state.model._meta.label
        self.step.action, self.step.changes = Entry.Action.UPDATE, self.state.changes
        self.page = Page([self.step], self.state.names)
        self.instance = self.page.object(self.step)
        if self.instance is None:
            self.step.action = Entry.Action.CREATE
        self.left_out: list[tuple[str, str]] = []
        self.is_blocked = False
        if self.state.exists:
            self._leave_out()
        is_change = self.instance is None or bool(self.step.changes)
        self.is_possible = bool(self.state.exists) and is_change and not self.is_blocked
        self.changes = self.page.changes(self.step)

    def restore(self, latest: str) -> tuple[bool, str]:
        """Bring the state back unless ``latest``, of what the user has seen, is not that of today."""
        using, rows = self.state.using, QuerySet[Model](self.state.model, using=self.state.using)
        try:
            with transaction.atomic(using=using):
                # Others who want to change the object wait until this is done.
                rows.filter(pk=self.state.pk).select_for_update().first()
                now = Preview(self.entry).state
                if str(now.latest) != latest:
                    raise ValidationError("The object was changed in the meantime. Look again.")
                instance, others = restore(now)
        except ValidationError as error:
            return False, f"Nothing was changed. {' '.join(error.messages)}"
        except DatabaseError:
            # The text of the error may hold values that are masked.
            return False, REFUSED
        labels = ", ".join(label for _, _, label in fields_of(self.step.model_label, others))
        done = f"{text_of(instance)} was brought back."
        return True, f"{done} Not as they were: {labels}." if labels else done

    def _leave_out(self) -> None:
        """Take out of the state what cannot be brought back, and say why."""
        state, taken = self.state, self._taken()
        kept = "gets its default" if self.instance is None else "keeps its present"
        names = {*state.unknown, *state.changes}
        for name, field, label in list(fields_of(self.step.model_label, names)):
            change = state.changes.get(name, {})
            gone, why = self._gone(field, change), taken.get(name, "")
            effect = f"The field {kept} value."
            no_longer = f"No longer there: {', '.join(map(str, gone))}." if gone else ""
            if name in state.unknown:
                why = self._why_unknown(name)
            elif isinstance(field, ManyToManyField):
                change["added"] = [key for key in change["added"] if key not in gone]
                through: Any = field.remote_field.through
                if not through._meta.auto_created:
                    why = "These links hold more than keys, so change them yourself."
                elif gone:
                    self.left_out.append((label, no_longer))
                if not (change["added"] or change["removed"]):
                    del state.changes[name]
            elif getattr(field, "auto_now", False):
                del state.changes[name]
                self.left_out.append((label, "It gets the time at which you bring it back."))
            elif (why := why or no_longer) and self.instance is None and not field.null:
                self.is_blocked, effect = True, "So the object cannot be brought back now."
            if why:
                state.unknown.add(name)
                state.changes.pop(name, None)
                state.values.pop(name, None)
                self.left_out.append((label, f"{why} {effect}"))

    def _why_unknown(self, name: str) -> str:
        covering = registry.covering(self.state.model)
        if name not in {each.name for one in covering for each in (*one.fields, *one.many)}:
            return "The trail does not record it."
        if registry.is_masked(self.state.model, name):
            return "The value is secret and not recorded."
        return "The trail cannot tell the value: it was forgotten, or the field has changed."

    def _gone(self, field: Any, change: dict[str, Any]) -> list[Any]:
        """List the keys of objects to which a change would lead, and which no longer exist."""
        if not isinstance(field, ManyToManyField) and not getattr(field, "db_constraint", False):
            return []
        # The page looks no more links up. An object that leads to itself comes back with itself.
        keys = (change.get("added") or [change.get("new")])[:MOST_LINKS]
        own = str(self.state.pk) if issubclass(self.state.model, field.related_model) else None
        others = (key for key in keys if key is not None and str(key) != own)
        return [key for key in others if self.page.is_gone(field, key)]

    def _taken(self) -> dict[str, str]:
        """Find the changed fields whose values must be unique and belong to other objects now."""
        state, meta, found = self.state, self.state.model._meta, dict[str, str]()
        unique = [[field.name] for field in meta.fields if field.unique and not field.primary_key]
        together = [one.fields for one in meta.total_unique_constraints]
        for names in (*unique, *meta.unique_together, *together):
            values = {name: state.values.get(name) for name in names}
            if None in values.values() or state.changes.keys().isdisjoint(names):
                continue
            rows: QuerySet[Model] = QuerySet(state.model, using=state.using).filter(**values)
            other = rows.exclude(pk=state.pk).values_list("pk", flat=True).first()
            if other is not None:
                why = f"Another {meta.verbose_name} has this value now: {other}."
                found |= dict.fromkeys(state.changes.keys() & {*names}, why)
        then = state.model(pk=state.pk) if self.instance is None else copy(self.instance)
        for column in (each for each in meta.concrete_fields if each.name in state.values):
            setattr(then, column.attname, state.values[column.name])
        for one in (each for each in meta.constraints if isinstance(each, UniqueConstraint)):
            # Of constraints with a condition or expressions, only the message is known.
            parts: Any = (each for each in Func(*one.expressions).flatten() if isinstance(each, F))
            changed = state.changes.keys() & {*one.fields, *(each.name for each in parts)}
            try:
                if changed and one not in meta.total_unique_constraints:
                    one.validate(state.model, then, using=state.using)
            except ValidationError as error:
                found = dict.fromkeys(changed, " ".join(error.messages)) | found
        return found
