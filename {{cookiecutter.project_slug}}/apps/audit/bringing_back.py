"""Bringing a former state of an object back in the admin: what would change, and what cannot."""

from copy import copy
from typing import Any, Final

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.models import Field, ManyToManyField, Model, QuerySet
from django.http import HttpRequest

from . import registry
from .lineage import LAST
from .models import Entry
from .presentation import MOST_LINKS, Page, fields_of, text_of
from .restore import restore, state_after, state_before

# Entries of these actions have a state that can be brought back.
STATES: Final = {
    *(Entry.Action.CREATE, Entry.Action.UPDATE, Entry.Action.DELETE),
    *(Entry.Action.STATE, Entry.Action.RESTORE),
}
CHANGED: Final = "The object was changed in the meantime. Nothing was brought back; look again."
REFUSED: Final = (
    "The database has refused this state, so nothing was changed. Another object has a value that"
    " must be unique, a required value is missing, or an object that this one needs is gone."
)


def is_allowed(
    site: AdminSite, request: HttpRequest, model: type[Model] | None, instance: Model | None
) -> bool:
    """Whether a user may bring states of an object back: change it, or add one that is deleted."""
    if model is None or not registry.covering(model):
        return False
    if not site.is_registered(model):
        codename = get_permission_codename("change" if instance else "add", model._meta)
        return request.user.has_perm(f"{model._meta.app_label}.{codename}")
    own = site.get_model_admin(model)
    if instance is None:
        return own.has_add_permission(request)
    return own.has_change_permission(request, instance)


class Preview:
    """What bringing back the state of an entry would change.

    ``step`` is that change in the form of an entry, to be shown like one. ``left_out`` lists the
    fields that cannot be brought back, with the reasons. ``is_blocked`` says that one of them
    prevents it all.

    Raises:
        CannotRestoreError: when the project no longer has the model, or does not audit it.
    """

    def __init__(self, entry: Entry) -> None:
        is_deletion = entry.action == Entry.Action.DELETE
        self.entry, self.state = entry, (state_before if is_deletion else state_after)(entry)
        self.is_new = not self.state.is_there
        self.step = copy(entry)
        self.step.pk, self.step.model_label = LAST, self.state.model._meta.label
        self.step.action = Entry.Action.CREATE if self.is_new else Entry.Action.UPDATE
        self.step.changes = self.state.changes
        self.page = Page([self.step], names=self.state.names)
        self.instance = self.page.object(self.step)
        self.left_out: list[tuple[str, str]] = []
        self.is_blocked = False
        if self.state.exists:
            self._leave_out()
        self.changes = self.page.changes(self.step)

    @property
    def is_possible(self) -> bool:
        """Whether there is something to bring back, and nothing prevents it."""
        is_change = self.is_new or bool(self.step.changes)
        return bool(self.state.exists) and is_change and not self.is_blocked

    def restore(self, latest: str) -> tuple[bool, str]:
        """Bring the state back, and say whether it was, and what is not as it was.

        Args:
            latest: the id of the latest entry of the object that the user has seen.
        """
        state = self.state
        rows: QuerySet[Model] = QuerySet(state.model, using=state.using)
        entries = Entry.objects.using(state.using).of(state.model(pk=state.pk))
        try:
            with transaction.atomic(using=state.using):
                # Others who want to change the object wait until this is done.
                rows.filter(pk=state.pk).select_for_update().first()
                if str(entries.values_list("pk", flat=True).first()) != latest:
                    return False, CHANGED
                instance, others = restore(state)
        except ValidationError as error:
            return False, f"Nothing was changed. {' '.join(error.messages)}"
        except (IntegrityError, DataError):
            # The text of the error may hold values that are masked.
            return False, REFUSED
        labels = ", ".join(label for _, _, label in fields_of(self.step.model_label, others))
        done = f"{text_of(instance)} was brought back."
        return True, f"{done} Not as they were: {labels}." if labels else done

    def _leave_out(self) -> None:
        """Take out of the state what cannot be brought back, and say why."""
        state, taken = self.state, self._taken()
        effect = "gets its default value" if self.is_new else "keeps its present value"
        label = self.step.model_label
        for name, _, title in fields_of(label, state.unknown):
            self.left_out.append((title, f"{self._why_unknown(name)} The field {effect}."))
        for name, field, title in list(fields_of(label, state.changes)):
            if getattr(field, "auto_now", False):
                del state.changes[name]
                self.left_out.append((title, "It gets the time at which you bring it back."))
            elif isinstance(field, ManyToManyField):
                self._leave_links_out(field, title)
            elif why := taken.get(name) or self._why_gone(field, state.changes[name]["new"]):
                self._refuse(field, title, why)

    def _refuse(self, field: Field, title: str, why: str) -> None:
        state = self.state
        if self.is_new and not field.null:
            self.is_blocked = True
            effect = "So the object cannot be brought back now."
        else:
            state.unknown.add(field.name)
            del state.changes[field.name], state.values[field.name]
            effect = "It comes back empty." if self.is_new else "The field keeps its present value."
        self.left_out.append((title, f"{why} {effect}"))

    def _leave_links_out(self, many: Any, title: str) -> None:
        change = self.state.changes[many.name]
        # The page looks no more of them up.
        gone = [key for key in change["added"][:MOST_LINKS] if self.page.is_gone(many, key)]
        change["added"] = [key for key in change["added"] if key not in gone]
        is_own = not many.remote_field.through._meta.auto_created
        if is_own:
            self.left_out.append((title, "These links hold more than keys. Change them yourself."))
        elif gone:
            keys = ", ".join(map(str, gone))
            self.left_out.append((title, f"These linked objects no longer exist: {keys}."))
        if is_own or not (change["added"] or change["removed"]):
            del self.state.changes[many.name]

    def _why_unknown(self, name: str) -> str:
        covering = registry.covering(self.state.model)
        if name not in {each.name for one in covering for each in (*one.fields, *one.many)}:
            return "The trail does not record it."
        if registry.is_masked(self.state.model, name):
            return "The value is secret and not recorded."
        return "The trail cannot tell the value: the field had another name or type."

    def _why_gone(self, field: Any, key: Any) -> str:
        if key is None or not getattr(field, "db_constraint", False):
            return ""
        name = field.remote_field.model._meta.verbose_name
        return f"There is no {name} {key} any more." if self.page.is_gone(field, key) else ""

    def _taken(self) -> dict[str, str]:
        """Find the changed fields whose values must be unique and belong to other objects now."""
        state, meta, found = self.state, self.state.model._meta, dict[str, str]()
        unique = [[field.name] for field in meta.fields if field.unique and not field.primary_key]
        together = [one.fields for one in meta.total_unique_constraints]
        for names in (*unique, *meta.unique_together, *together):
            values = {name: state.values.get(name) for name in names}
            changed = [name for name in names if name in state.changes]
            if not changed or None in values.values():
                continue
            rows: QuerySet[Model] = QuerySet(state.model, using=state.using).filter(**values)
            other = rows.exclude(pk=state.pk).values_list("pk", flat=True).first()
            if other is not None:
                why = f"Another {meta.verbose_name} has this value now: {other}."
                found |= dict.fromkeys(changed, why)
        return found
