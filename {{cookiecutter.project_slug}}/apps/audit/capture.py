"""SQL that writes the trail: an entry for each row that a statement changes.

A trigger uses the columns that a table has at the moment. So it also works between two steps of a
migration.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from django.db.models import Field, Model

from . import registry
from .models import Entry
from .registry import Audited, Link
from .values import JSON_NULL, MASKED

# Triggers and functions of these names belong to the trail. PostgreSQL fires triggers in the order
# of their names, and an underscore comes before small letters.
PREFIX: Final = "_audit_trail_"
# Of each name where two share one column.
MOST_OF_TWO: Final = 124
# The texts around both parts of a member of the changes: of a column, and of a many-to-many field.
VALUES: Final = ('{"old":', ',"new":', "}")
LINKS: Final = ('{"added":[', '],"removed":[', "]}")

# How a statement begins that says who acts: one that may change many rows, and any other one.
MANY, FEW = "/*audit+", "/*audit "

ACTOR: Final[Any] = Entry._meta.get_field("actor")

# The columns of each table, with their types and without lengths.
type Columns = Mapping[str, Mapping[str, str]]


class Text(str):
    """A text that becomes a literal, among parts that are SQL."""


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

    ``schemas`` are those of the tables, quoted and with a dot; empty on SQLite. ``columns`` are
    those that the tables have at the moment. With ``migrating``, columns that the model lacks are
    recorded without their values, because they may be masked under another name.
    """

    # How to compare two values, and how the keys of several links of an object become one text.
    is_not, all_keys = "IS NOT", "group_concat({keys}, ',')"
    # The time of an entry that no trigger writes, and the clause that locks selected rows.
    now, lock_rows = "", ""
    # SQL for the columns of an entry that say who acts, when and from where.
    who: Mapping[str, str]
    # SQL for a value of a column as JSON, and for one that can be compared.
    value: Callable[[Field, str], str]
    comparable: Callable[[Field, str], str]
    # The triggers of one table, and one that refuses what an event does under a condition.
    of: Callable[[type[Model]], Iterator[Trigger]]
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
        self.schema, self.quote = schemas.get(Entry._meta.db_table, ""), connection.ops.quote_name
        self.migrating = migrating
        # How links are recorded, of those whose columns are there.
        self.links = [
            link
            for link in registry.links()
            if all(self.has(end.model, end) for end in (link.source, link.target))
        ]

    def whole(
        self, model: type[Model], action: str, row: str, source: str = "", *, each: bool = False
    ) -> str:
        """Return statements that record new rows, or those that are deleted, with their links.

        Without ``source``, or with ``each``, each link has an entry. Otherwise each object has one.
        """
        audited = registry.audited_models().get(model)
        links = [self._linked(link, action, row, source, each) for link in self.links_in(model)]
        own = [self._row(audited, action, row, source)] if audited else []
        return script([*links, *own] if action == "delete" else [*own, *links])

    def cases(
        self, model: type[Model], old: str = "OLD", new: str = "NEW", pairs: str = ""
    ) -> Iterator[tuple[str, str, str]]:
        """Name what an UPDATE can do to a row: when that is, and the statements that record it.

        It gives the row another key, other values or another link. ``pairs`` is SQL for all old
        rows with their new ones; without it the statements are about one row.
        """

        def source(condition: str) -> str:
            return f"{pairs} WHERE ({condition})" if pairs else ""

        both = (("delete", old), ("create", new))
        if audited := registry.audited_models().get(model):
            pk = model._meta.pk
            rekeyed = self._differs(pk, old, new)
            rows = script(self._row(audited, *each, source(rekeyed)) for each in both)
            yield "rekey", rekeyed, rows
            if changes := self._changes(audited, old, new):
                members = [
                    f"CASE WHEN {condition} THEN {self.joined(*member)} ELSE '' END"
                    for condition, member in changes.items()
                ]
                changed = f"NOT ({rekeyed}) AND ({' OR '.join(changes)})"
                key = self.column(new, pk)
                entry = self._entry(audited, "update", key, members, source(changed), new)
                yield "update", changed, script([entry])
        for number, link in enumerate(self.links_in(model)):
            moved = " OR ".join(self._differs(end, old, new) for end in (link.source, link.target))
            links = script(self._linked(link, *each, source(moved)) for each in both)
            yield f"move{number}", moved, links

    def state(self, audited: Audited, source: str) -> str:
        """Return the statement that records rows ``r`` as they are, each with its links."""
        pk = self.column("r", audited.model._meta.pk)
        links = [self._linked_now(link, pk) for link in self.links_of(audited)]
        return self._row(audited, "state", "r", source, links)

    def links_of(self, audited: Audited) -> list[Link]:
        """List how the links of an audited model are recorded."""
        return [link for link in self.links if link.audited is audited]

    def links_in(self, model: type[Model]) -> list[Link]:
        """List how the rows of a table are recorded as links."""
        table = model._meta.db_table
        return [link for link in self.links if link.source.model._meta.db_table == table]

    def has(self, model: type[Model], field: Field) -> bool:
        """Whether the table of a model has the column of a field at the moment."""
        return field.column in self.columns.get(model._meta.db_table, ())

    def type_of(self, field: Any) -> str:
        """Return the type of a column, which a later step of a migration may change."""
        return self.columns[field.model._meta.db_table][field.column]

    def is_own(self, field: Field) -> bool:
        """Whether a column has its field's type, which a migration may still have to give it."""
        return self.type_of(field) == (field.db_type(self.connection) or "").lower()

    def joined(self, *parts: str) -> str:
        """Return SQL for texts, none of them NULL, one after the other."""
        found: list[str] = []
        for are_texts, group in groupby(parts, lambda part: isinstance(part, Text)):
            some = list(group)
            found += [literal("".join(some))] if are_texts else some
        return self.concatenated(found)

    def concatenated(self, parts: Sequence[str]) -> str:
        """Return the shortest SQL that does so."""
        return f"({' || '.join(parts)})"

    def json(self, kind: str, member: str, text: str) -> str:
        """Return SQL for JSON as a value, from its type, its member ``JSON_NULL`` and its text."""
        wrapped = literal('{"' + JSON_NULL + '":') + f" || {text} || '}}'"
        return (
            f"CASE WHEN {kind} = 'null' OR {member} IS NOT NULL THEN {wrapped}"
            f" ELSE coalesce({text}, 'null') END"
        )

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
            values = (value, Text("null")) if action == "delete" else (Text("null"), value)
            members += self._member(audited, field.name, VALUES, *values)
        pk = self.column(row, audited.model._meta.pk)
        return self._entry(audited, action, pk, [*members, *more], source, row)

    def _changes(self, audited: Audited, old_row: str, new_row: str) -> dict[str, list[str]]:
        """Return the conditions that values of a row have changed, and what is recorded then."""
        changes = {}
        for field in self._fields(audited):
            old, new = (self.value(field, self.column(row, field)) for row in (old_row, new_row))
            differs = self._differs(field, old_row, new_row)
            changes[differs] = self._member(audited, field.name, VALUES, old, new)
        if self.migrating:
            known = {field.column for field in audited.model._meta.local_concrete_fields}
            for column in sorted(self.columns[audited.model._meta.db_table].keys() - known):
                old, new = (f"CAST({r}.{self.quote(column)} AS TEXT)" for r in (old_row, new_row))
                changes[f"{old} {self.is_not} {new}"] = [_masked(column)]
        return changes

    def _differs(self, field: Field, *rows: str) -> str:
        old, new = (self.comparable(field, self.column(row, field)) for row in rows)
        return f"{old} {self.is_not} {new}"

    def _linked(self, link: Link, action: str, row: str, source: str, each: bool = False) -> str:
        """Return the statement that records links, of each object that has the field."""
        pk, target = self.column(row, link.source), self.column(row, link.target)
        keys, tail = self.value(link.target, target), source
        if not link.source.model._meta.auto_created:
            # Columns of other tables may be NULL. SQLite is faster without a condition.
            joint = "AND" if " WHERE " in source else "WHERE"
            tail += f" {joint} {pk} IS NOT NULL AND {target} IS NOT NULL"
        if source and not each:
            keys = self.all_keys.format(keys=keys, key=target)
            tail += f" GROUP BY {pk}"
        sides = (Text(""), keys) if action == "delete" else (keys, Text(""))
        change = self._member(link.audited, link.name, LINKS, *sides)
        return self._entry(link.audited, "update", pk, change, tail, "")

    def _linked_now(self, link: Link, pk: str) -> str:
        """Return SQL for the member of the changes with all links of a row, if there are any."""
        source, target = self.column("l", link.source), self.column("l", link.target)
        keys = self.all_keys.format(keys=self.value(link.target, target), key=target)
        member = self.joined(*self._member(link.audited, link.name, LINKS, keys, Text("")))
        if link.name in link.audited.masked:
            return member  # it does not even say whether there are any
        return (
            f"coalesce((SELECT {member} FROM {self.at(link.source.model)} AS l"  # noqa: S608
            f" WHERE {source} = {pk} AND {target} IS NOT NULL GROUP BY {source}), '')"
        )

    def _fields(self, audited: Audited) -> list[Field]:
        return [field for field in audited.fields if self.has(audited.model, field)]

    def _member(self, audited: Audited, name: str, form: Sequence[str], *parts: str) -> list[str]:
        """Return SQL for the texts of a member of the changes, with a comma in front."""
        if name in audited.masked:
            return [_masked(name)]
        (first, second), (start, middle, end) = parts, form
        start = f",{json.dumps(name)}:{start}"
        return [Text(start), first, Text(middle), second, Text(end)]

    def _entry(
        self, audited: Audited, action: str, pk: str, members: Sequence[str], tail: str, row: str
    ) -> str:
        key = f"CAST({pk} AS TEXT)"
        # Without the first comma.
        first, *more = members or [Text(",")]
        is_text = isinstance(first, Text)
        listed = [Text(first[1:]), *more] if is_text else [f"substr({self.joined(*members)}, 2)"]
        changes = self.joined(Text("{"), *listed, Text("}"))
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


def _masked(name: str) -> str:
    return Text(f",{json.dumps(name)}:{MASKED}")
