"""SQL that writes the trail: an entry for each row that a statement changes.

A trigger uses the columns that a table has at the moment. So it also works between two steps of a
migration.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from django.db.models import Field, Model

from . import registry
from .models import Entry
from .registry import Audited, Link, Recorded
from .values import JSON_NULL, MASKED

# Triggers and functions of these names belong to the trail. PostgreSQL fires triggers in the order
# of their names, and an underscore comes before small letters.
PREFIX: Final = "_audit_trail_"
# Of each name where two share one column.
MOST_OF_TWO: Final = 124
# A literal, and parts of JSON in SQL.
LITERAL: Final = re.compile("'(?:[^']|'')*'")
NULL, OPEN = "'null'", "'{'"

# How a statement begins that says who acts: one that may change many rows, and any other one.
MANY, FEW = "/*audit+", "/*audit "

ACTOR: Final[Any] = Entry._meta.get_field("actor")

# The columns of each table, with their types and without lengths.
type Columns = Mapping[str, Mapping[str, str]]


class Trigger(NamedTuple):
    """A trigger: the statements that make it, and what the database says of it then."""

    name: str
    table: str
    creation: Sequence[str]
    found: Sequence[Any]


def name_of(event: str, table: str) -> str:
    """Return the name of a trigger, in ASCII: PostgreSQL takes 63 bytes."""
    name = f"{PREFIX}{event.lower()}_{ascii(table)[1:-1]}".replace(" ", "_")
    return truncate_name(name, 63, hash_len=8)


def user_field() -> Any:
    """Return the field with the names of users, which may be a parent's."""
    user = ACTOR.remote_field.model
    return user._meta.get_field(user.USERNAME_FIELD)


def script(statements: Iterable[str]) -> str:
    """Return SQL for statements, one after the other."""
    return "".join(f"{statement}; " for statement in statements)


def literal(text: str) -> str:
    """Return SQL for a text."""
    return "'" + text.replace("'", "''") + "'"


class Capture:
    """Makes the triggers of one database. A subclass knows the SQL of its kind of database.

    ``schemas`` are those of the tables, quoted and with a dot; empty on SQLite. ``columns`` are those
    that the tables have at the moment. With ``migrating``, columns that the model lacks are
    recorded without their values, because they may be masked under another name.
    """

    # How to compare two values, and how to gather the links of an object in one entry, if at all.
    is_not, keys, grouped = "IS NOT", "{keys}", ""
    # How the keys of all links of an object become one text.
    all_keys = "group_concat({keys}, ',')"
    # The time of an entry that no trigger writes, and the clause that locks selected rows.
    now, lock_rows = "", ""
    # SQL for the columns of an entry that say who acts, when and from where.
    who: Mapping[str, str]
    # SQL for a value of a column as JSON, and for one that can be compared.
    value: Callable[[Field, str], str]
    comparable: Callable[[Field, str], str]
    # The triggers of one table, and one that refuses what an event does under a condition.
    of: Callable[[type[Model], Recorded], Iterator[Trigger]]
    refusal: Callable[[str, str, str, str], Trigger]
    # The statement that removes a trigger.
    removal: Callable[[str], str]

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        schemas: Mapping[str, str],
        columns: Columns,
        *,
        migrating: bool,
    ) -> None:
        self.connection, self.schemas, self.columns = connection, schemas, columns
        self.schema, self.migrating = schemas.get(Entry._meta.db_table, ""), migrating

    def whole(
        self, recorded: Recorded, action: str, row: str, source: str = "", *, each: bool = False
    ) -> str:
        """Return statements that record new rows, or those that are deleted, with their links.

        With ``each``, the links of an object are not gathered in one entry.
        """
        verb = "removed" if action == "delete" else "added"
        links = [self._linked(link, verb, row, source, each) for link in self._links(recorded)]
        own = [self._row(recorded.audited, action, row, source)] if recorded.audited else []
        return script([*links, *own] if action == "delete" else [*own, *links])

    def cases(
        self, recorded: Recorded, old: str = "OLD", new: str = "NEW", pairs: str = ""
    ) -> Iterator[tuple[str, str, str]]:
        """Name what an UPDATE can do to a row: when that is, and the statements that record it.

        It gives the row another key, other values or another link. ``pairs`` is SQL for all old
        rows with their new ones; without it the statements are about one row.
        """

        def source(condition: str) -> str:
            return f"{pairs} WHERE ({condition})" if pairs else ""

        if audited := recorded.audited:
            pk, own = audited.model._meta.pk, Recorded(audited)
            rekeyed = self._differs(pk, old, new)
            rows = source(rekeyed)
            deletion = self.whole(own, "delete", old, rows)
            yield "rekey", rekeyed, deletion + self.whole(own, "create", new, rows)
            if changes := self._changes(audited, old, new):
                members = [
                    f"CASE WHEN {condition} THEN {self.joined(*member)} ELSE '' END"
                    for condition, member in changes.items()
                ]
                changed = f"NOT ({rekeyed}) AND ({' OR '.join(changes)})"
                key = self.column(new, pk)
                entry = self._entry(audited, "update", key, members, source(changed), new)
                yield "update", changed, script([entry])
        for number, link in enumerate(self._links(recorded)):
            moved = " OR ".join(self._differs(end, old, new) for end in (link.source, link.target))
            sides = (("removed", old), ("added", new))
            both = script(self._linked(link, *side, source(moved)) for side in sides)
            yield f"move{number}", moved, both

    def state(self, audited: Audited, source: str) -> str:
        """Return the statement that records rows ``r`` as they are, each with its links."""
        pk = self.column("r", audited.model._meta.pk)
        links = [self._linked_now(link, pk) for link in self.links_of(audited)]
        return self._row(audited, "state", "r", source, links)

    def links_of(self, audited: Audited) -> list[Link]:
        """List how the links of an audited model are recorded, of those whose columns are there."""
        found = (link for one in registry.recorded().values() for link in self._links(one))
        return [link for link in found if link.audited is audited]

    def has(self, model: type[Model], field: Field) -> bool:
        """Whether the table of a model has the column of a field at the moment."""
        return field.column in self.columns.get(model._meta.db_table, ())

    def type_of(self, field: Any) -> str:
        """Return the type of a column, which a later step of a migration may change."""
        return self.columns[field.model._meta.db_table][field.column]

    def is_own(self, field: Field) -> bool:
        """Whether a column has the type of its field, and not one that a migration still has to change."""
        return self.type_of(field) == (field.db_type(self.connection) or "").lower()

    def joined(self, *texts: str) -> str:
        """Return SQL for texts, none of them NULL, one after the other."""
        parts: list[str] = []
        for text in texts:
            if parts and LITERAL.fullmatch(text) and LITERAL.fullmatch(parts[-1]):
                parts[-1] = parts[-1][:-1] + text[1:]  # two literals become one
            else:
                parts.append(text)
        return self.concatenated(parts)

    def concatenated(self, parts: Sequence[str]) -> str:
        """Return the shortest SQL that does so."""
        return f"({' || '.join(parts)})"

    def json(self, kind: str, member: str, text: str) -> str:
        """Return SQL for JSON as a value, from its type, its member ``JSON_NULL`` and its text."""
        wrapped = f"{OPEN} || '\"{JSON_NULL}\":' || {text} || '}}'"
        return (
            f"CASE WHEN {kind} = 'null' OR {member} IS NOT NULL THEN {wrapped}"
            f" ELSE coalesce({text}, 'null') END"
        )

    def quote(self, name: str) -> str:
        """Return a name as SQL takes it."""
        return self.connection.ops.quote_name(name)

    def at(self, model: type[Model]) -> str:
        """Return SQL for the table of a model."""
        table = model._meta.db_table
        return self.schemas.get(table, "") + self.quote(table)

    def column(self, row: str, field: Any) -> str:
        """Return SQL for a column of a row."""
        return f"{row}.{self.quote(field.column)}"

    def _row(
        self, audited: Audited, action: str, row: str, source: str, more: Sequence[str] = ()
    ) -> str:
        """Return the statement that records all values of rows, and more members."""
        members: list[str] = []
        for field in self._fields(audited):
            value = self.value(field, self.column(row, field))
            values = (value, NULL) if action == "delete" else (NULL, value)
            members += self._member(audited, field.name, *values)
        pk = self.column(row, audited.model._meta.pk)
        return self._entry(audited, action, pk, [*members, *more], source, row)

    def _changes(self, audited: Audited, old_row: str, new_row: str) -> dict[str, list[str]]:
        """Return the conditions that values of a row have changed, and what is recorded then."""
        changes = {}
        for field in self._fields(audited):
            old, new = (self.value(field, self.column(row, field)) for row in (old_row, new_row))
            differs = self._differs(field, old_row, new_row)
            changes[differs] = self._member(audited, field.name, old, new)
        if self.migrating:
            known = {field.column for field in audited.model._meta.local_concrete_fields}
            for column in sorted(self.columns[audited.model._meta.db_table].keys() - known):
                old, new = (f"CAST({r}.{self.quote(column)} AS TEXT)" for r in (old_row, new_row))
                changes[f"{old} {self.is_not} {new}"] = [self._masked(column)]
        return changes

    def _differs(self, field: Field, *rows: str) -> str:
        old, new = (self.comparable(field, self.column(row, field)) for row in rows)
        return f"{old} {self.is_not} {new}"

    def _linked(self, link: Link, verb: str, row: str, source: str = "", each: bool = False) -> str:
        """Return the statement that records links, of each object that has the field."""
        pk, target = self.column(row, link.source), self.column(row, link.target)
        keys = self.value(link.target, target)
        if not each:
            keys = self.keys.format(keys=keys, key=target)
        added, removed = (keys, "''") if verb == "added" else ("''", keys)
        name = link.field.name
        start = literal(_key(name) + '{"added":[')
        change = [start, added, "'],\"removed\":['", removed, "']}'"]
        if name in link.audited.masked:
            change = [self._masked(name)]
        tail = source
        if not link.source.model._meta.auto_created:
            # Columns of other tables may be NULL. SQLite is faster without a condition.
            joint = "AND" if " WHERE " in source else "WHERE"
            tail += f" {joint} {pk} IS NOT NULL AND {target} IS NOT NULL"
        if not each:
            tail += self.grouped.format(pk=pk)
        return self._entry(link.audited, "update", pk, change, tail, "")

    def _linked_now(self, link: Link, pk: str) -> str:
        """Return SQL for the member of the changes that names all links of a row, if there are any."""
        name = link.field.name
        if name in link.audited.masked:
            return self._masked(name)
        source, target = self.column("l", link.source), self.column("l", link.target)
        keys = self.all_keys.format(keys=self.value(link.target, target), key=target)
        start = literal(_key(name) + '{"added":[')
        return (
            f"coalesce((SELECT {start} || {keys} || '],\"removed\":[]}}'"  # noqa: S608
            f" FROM {self.at(link.source.model)} AS l"
            f" WHERE {source} = {pk} AND {target} IS NOT NULL), '')"
        )

    def _links(self, recorded: Recorded) -> list[Link]:
        """List the links that a row is, of those whose columns are there."""
        return [
            link
            for link in recorded.links
            if all(self.has(end.model, end) for end in (link.source, link.target))
        ]

    def _fields(self, audited: Audited) -> list[Field]:
        return [field for field in audited.fields if self.has(audited.model, field)]

    def _member(self, audited: Audited, name: str, old: str, new: str) -> list[str]:
        """Return SQL for the parts of a member of the changes, with a comma in front."""
        if name in audited.masked:
            return [self._masked(name)]
        return [literal(_key(name) + '{"old":'), old, "',\"new\":'", new, "'}'"]

    def _masked(self, name: str) -> str:
        return literal(_key(name) + MASKED)

    def _entry(
        self, audited: Audited, action: str, pk: str, members: Sequence[str], tail: str, row: str
    ) -> str:
        key = f"CAST({pk} AS TEXT)"
        first, *more = members or ["','"]
        # Without the first comma.
        is_known = LITERAL.fullmatch(first)
        listed = ["'" + first[2:], *more] if is_known else [f"substr({self.joined(*members)}, 2)"]
        changes = self.joined(OPEN, *listed, "'}'")
        type_of_changes = Entry._meta.get_field("changes").db_type(self.connection)
        columns = {
            **self.who,
            "action": f"'{action}'",
            "model_label": f"'{audited.model._meta.label}'",
            "object_id": key,
            "object_repr": self._name(audited, row, pk, key),
            "changes": f"CAST({changes} AS {type_of_changes})",
        }
        names, values = ", ".join(columns), ", ".join(columns.values())
        # SQLite copies the rows of a SELECT into a temporary table first.
        values = f"SELECT {values}{tail}" if tail else f"VALUES ({values})"
        return f"INSERT INTO {self.at(Entry)} ({names}) {values}"

    def _name(self, audited: Audited, row: str, pk: str, key: str) -> str:
        """Return SQL for the name of an object: a column, or its latest name on the trail."""
        if row and audited.name and self.has(audited.model, audited.name):
            return f"coalesce(substr(CAST({self.column(row, audited.name)} AS TEXT), 1, 200), '')"
        named = [one for one in registry.covering(audited.model) if one.name]
        if not named:
            return "''"
        return (
            f"coalesce((SELECT known.object_repr FROM {self.at(Entry)} AS known"  # noqa: S608
            f" WHERE known.model_label = '{named[-1].model._meta.label}'"
            f" AND known.object_id = {key} ORDER BY known.id DESC LIMIT 1), '')"
        )


def _key(name: str) -> str:
    return f",{json.dumps(name)}:"
