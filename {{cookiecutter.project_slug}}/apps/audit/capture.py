"""What the triggers do that write the trail: an entry for each row that a statement changes.

A trigger is made of the columns that a table has at the moment, so that it works
between two steps of a migration as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from django.db.models import Field, Model

from . import registry
from .fields import MASKED
from .models import Entry
from .registry import Audited, Link, Recorded

# Triggers and functions of these names belong to the trail. PostgreSQL fires triggers in the order
# of their names, and an underscore comes before small letters. It takes 63 characters.
PREFIX: Final = "_audit_trail_"
MOST_CHARACTERS: Final = 63
# The function that a trigger asks who acts: on PostgreSQL its own, on SQLite one of Python.
WHO: Final = f"{PREFIX}who"

# Members of a JSON object: the name of each, and SQL for it.
type Members = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Definition:
    """A trigger: its table, when it fires, and the SQL that it runs.

    On PostgreSQL ``event`` is a key of ``postgresql.EVENTS``, and ``body`` that of its function,
    which has the parameters ``when``; without an event it is no trigger's.
    """

    name: str
    table: str
    event: str
    body: str
    when: str = ""


def name_of(event: str, label: str) -> str:
    """Return the name of a trigger."""
    name = f"{PREFIX}{event}_{label.lower().replace('.', '_')}"
    return truncate_name(name, MOST_CHARACTERS, hash_len=8)


class Capture:
    """Makes the triggers of one database. Each kind of database writes SQL in ways of its own.

    Args:
        connection: the database.
        migrating: whether tables are being changed. Columns that a model does not have, or no
            longer, are then recorded without their values: they may be masked under their
            other name.

    ``columns`` are those that its tables have at the moment, and ``schema`` is where the trail is,
    quoted and with a dot. ``live`` is a query for the former, and ``there`` one for the triggers.
    """

    is_not: str
    # Whether a statement records several links of one object together.
    groups: bool
    live: str
    there: str

    def __init__(self, connection: BaseDatabaseWrapper, *, migrating: bool) -> None:
        self.connection, self.migrating = connection, migrating
        self.columns: dict[str, set[str]] = {}
        self.quote, self.schema = connection.ops.quote_name, self.find_schema()
        self.entries = self.schema + self.quote(Entry._meta.db_table)

    def definitions(self) -> Iterator[Definition]:
        """Make the triggers of all recorded tables that are there."""
        for model, recorded in registry.recorded().items():
            if self.has(model, model._meta.pk):
                yield from self.of(model, recorded)

    def find_schema(self) -> str:
        """Return the schema of the trail, quoted and with a dot; empty where there are none."""
        return ""

    def creation(self, one: Definition) -> list[str]:
        """Return the statements that make a trigger, or make it right."""
        raise NotImplementedError

    def removal(self, name: str) -> str:
        """Return the statement that removes a trigger."""
        raise NotImplementedError

    def as_found(self, one: Definition) -> list[Any]:
        """Return what ``there`` finds of a trigger that is right."""
        raise NotImplementedError

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        """Make the triggers of one table."""
        raise NotImplementedError

    def who(self, column: str) -> str:
        """Return SQL for a column of an entry that says who acts, when and from where."""
        raise NotImplementedError

    def value(self, field: Field, sql: str) -> str:
        """Return SQL for a value of a column, as a member of JSON."""
        raise NotImplementedError

    def differs(self, field: Field, one: str, other: str) -> str:
        """Return a condition that two values, as the column holds them, are not the same."""
        raise NotImplementedError

    def literal(self, json: str) -> str:
        """Return SQL for JSON that is known already, as a member of JSON."""
        raise NotImplementedError

    def array_of(self, sql: str) -> str:
        """Return what makes a JSON array of a member, or of those that are grouped."""
        raise NotImplementedError

    def object_of(self, members: Members) -> str:
        """Return SQL for a JSON object of members, which can be a member itself."""
        raise NotImplementedError

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        """Return SQL for a JSON object of those members for which a condition holds."""
        raise NotImplementedError

    def whole(self, recorded: Recorded, action: str, row: str, source: str = "") -> list[str]:
        """Return statements that record new rows, or those that are deleted, with their links."""
        is_deletion = action == "delete"
        statements = [
            self.linked(link, "removed" if is_deletion else "added", row, source)
            for link in self.links(recorded)
        ]
        audited = recorded.audited
        if audited is None:
            return statements
        none, members = self.literal("null"), []
        for field in self._fields(audited):
            value = self.value(field, self.column(row, field))
            old, new = (value, none) if is_deletion else (none, value)
            members.append(self._change(audited, field.name, old, new))
        pk = self.column(row, audited.model._meta.pk)
        tail = f"{source} ORDER BY {pk}" if source else ""
        own = self._entry(audited, action, pk, self.object_of(members), tail, row)
        return [*statements, own] if is_deletion else [own, *statements]

    def rekeyed(self, audited: Audited) -> tuple[str, list[str]]:
        """Return the condition that a row has got another key, and the statements for that."""
        pk, own = audited.model._meta.pk, Recorded(audited)
        condition = self.differs(pk, self.column("OLD", pk), self.column("NEW", pk))
        return condition, [*self.whole(own, "delete", "OLD"), *self.whole(own, "create", "NEW")]

    def changed(self, audited: Audited) -> tuple[str, list[str]]:
        """Return the condition that a row differs, and the statement that records how."""
        members, conditions = [], ["FALSE"]
        for field in self._fields(audited):
            old, new = self.column("OLD", field), self.column("NEW", field)
            conditions.append(self.differs(field, old, new))
            values = self.value(field, old), self.value(field, new)
            members.append(self._change(audited, field.name, *values))
        for column in self._unknown(audited.model):
            old, new = (f"CAST({row}.{self.quote(column)} AS TEXT)" for row in ("OLD", "NEW"))
            conditions.append(f"{old} {self.is_not} {new}")
            members.append((column, self.literal(MASKED)))
        if not members:
            return "FALSE", []
        pk = self.column("NEW", audited.model._meta.pk)
        changes = self.some_of(members, conditions[1:])
        return " OR ".join(conditions), [self._entry(audited, "update", pk, changes, row="NEW")]

    def moved(self, link: Link) -> tuple[str, list[str]]:
        """Return the condition that a row has become another link, and the statements for that."""
        conditions = [
            self.differs(end, self.column("OLD", end), self.column("NEW", end))
            for end in (link.source, link.target)
        ]
        statements = [self.linked(link, "removed", "OLD"), self.linked(link, "added", "NEW")]
        return " OR ".join(conditions), statements

    def linked(self, link: Link, verb: str, row: str, source: str = "") -> str:
        """Return the statement that records links together for each object that has the field."""
        pk, target = self.column(row, link.source), self.column(row, link.target)
        tail = f" WHERE {pk} IS NOT NULL AND {target} IS NOT NULL"
        if self.groups:
            tail = f" FROM (SELECT {pk} AS pk, {target} AS target{source}{tail} ORDER BY 1, 2) AS links"
            pk, target, tail = "links.pk", "links.target", f"{tail} GROUP BY pk"
        targets, none = self.array_of(self.value(link.target, target)), self.literal("[]")
        added, removed = (targets, none) if verb == "added" else (none, targets)
        change = self.object_of([("added", added), ("removed", removed)])
        if link.field.name in link.audited.masked:
            change = self.literal(MASKED)
        changes = self.object_of([(link.field.name, change)])
        return self._entry(link.audited, "update", pk, changes, tail)

    def links(self, recorded: Recorded) -> list[Link]:
        """List the links that a row is, of those whose columns are there."""
        return [
            link
            for link in recorded.links
            if self.has(link.source.model, link.source) and self.has(link.target.model, link.target)
        ]

    def has(self, model: type[Model], field: Field) -> bool:
        """Whether the table of a model has the column of a field at the moment."""
        return field.column in self.columns.get(model._meta.db_table, ())

    def column(self, row: str, field: Any) -> str:
        """Return SQL for a column of a row."""
        return f"{row}.{self.quote(field.column)}"

    def _entry(
        self, audited: Audited, action: str, pk: str, changes: str, tail: str = "", row: str = ""
    ) -> str:
        key = f"CAST({pk} AS TEXT)"
        who = {name: self.who(name) for name in ("actor_id", "actor_name", "source", "request_id")}
        columns = who | {
            "created_at": self.who("created_at"),
            "action": f"'{action}'",
            "model_label": f"'{audited.model._meta.label}'",
            "object_id": key,
            "object_repr": self._name(audited, row, key),
            "changes": changes,
        }
        names, values = ", ".join(columns), ", ".join(columns.values())
        return f"INSERT INTO {self.entries} ({names}) SELECT {values}{tail}"

    def _name(self, audited: Audited, row: str, key: str) -> str:
        """Return SQL for what an object is called: a column, or what the trail knew it by last."""
        if row and audited.name and self.has(audited.model, audited.name):
            return f"coalesce(substr(CAST({self.column(row, audited.name)} AS TEXT), 1, 200), '')"
        named = [one for one in registry.covering(audited.model) if one.name]
        if not named:
            return "''"
        return (
            f"coalesce((SELECT known.object_repr FROM {self.entries} AS known"  # noqa: S608
            f" WHERE known.model_label = '{named[-1].model._meta.label}'"
            f" AND known.object_id = {key} ORDER BY known.id DESC LIMIT 1), '')"
        )

    def _change(self, audited: Audited, name: str, old: str, new: str) -> tuple[str, str]:
        if name in audited.masked:
            return name, self.literal(MASKED)
        return name, self.object_of([("old", old), ("new", new)])

    def _fields(self, audited: Audited) -> list[Field]:
        return [field for field in audited.fields if self.has(audited.model, field)]

    def _unknown(self, model: type[Model]) -> Sequence[str]:
        known = {field.column for field in model._meta.local_concrete_fields}
        return sorted(self.columns[model._meta.db_table] - known) if self.migrating else ()
