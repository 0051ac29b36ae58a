"""What the triggers do that write the trail: one entry for each row that a statement changes.

A trigger is made of the columns that a table has at the moment, so that it works
between two steps of a migration as well.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import truncate_name
from django.db.models import Field, Model

from . import registry
from .dialects import dialect_of, key_type
from .models import Entry
from .registry import Audited, Link, Recorded

# Triggers and functions of these names belong to the trail. PostgreSQL takes 63 characters.
PREFIX: Final = "audit_trail_"
MOST_CHARACTERS: Final = 63
# The function that a trigger asks who acts: on PostgreSQL its own, on SQLite one of Python.
WHO: Final = f"{PREFIX}who"
ACTOR: Final[Any] = Entry._meta.get_field("actor")
MASKED: Final = '{"masked":true}'


@dataclass(frozen=True, slots=True)
class Definition:
    """A trigger: its table, when it fires, and the SQL that it runs.

    On PostgreSQL ``event`` is a key of ``triggers.EVENTS``, and ``body`` that of its function,
    which has the parameters ``when``; without an event it is no trigger's.
    """

    name: str
    table: str
    event: str
    body: str
    when: str = ""


def user_field() -> Any:
    """Return the field with the names of users, which may be a parent's."""
    user: Any = get_user_model()
    return user._meta.get_field(user.USERNAME_FIELD)


def name_of(event: str, label: str) -> str:
    """Return the name of a trigger."""
    name = f"{PREFIX}{event}_{label.lower().replace('.', '_')}"
    return truncate_name(name, MOST_CHARACTERS, hash_len=8)


class Capture:
    """Makes triggers for one database, in which tables have the columns ``live`` at the moment.

    While a migration is ``migrating`` a table, columns that its model does not have, or no
    longer, are recorded without their values: they may be masked under their other name.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        live: dict[str, set[str]],
        schema: str,
        *,
        migrating: bool,
    ) -> None:
        self.connection, self.live, self.migrating = connection, live, migrating
        self.dialect, self.quote = dialect_of(connection), connection.ops.quote_name
        self.schema = schema
        self.entries = schema + self.quote(Entry._meta.db_table)

    def definitions(self, tables: Set[str] | None = None) -> Iterator[Definition]:
        """Make the triggers of the recorded models, or of some tables, that are there."""
        for model in registry.recorded_models():
            if tables is not None and model._meta.db_table not in tables:
                continue
            recorded = registry.recorded_of(model)
            if recorded is not None and self._has(model, model._meta.pk):
                yield from self.of(model, recorded)

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        """Make the triggers of one table."""
        raise NotImplementedError

    def who(self, column: str) -> str:
        """Return SQL for a column of an entry that says who acts, when and from where."""
        raise NotImplementedError

    def whole(self, recorded: Recorded, action: str, row: str, source: str) -> list[str]:
        """Return statements that record whole rows: new ones, or those that are deleted."""
        verb, statements = ("removed" if action == "delete" else "added"), []
        if recorded.audited:
            none, changes = self.dialect.literal("null"), []
            for field in self._fields(recorded.audited):
                value = self.dialect.value(field, self._column(row, field))
                old, new = (value, none) if action == "delete" else (none, value)
                changes.append(self._change(recorded.audited, field.name, old, new))
            object_of = self.dialect.json(self.dialect.object_of(changes))
            pk = self._column(row, recorded.audited.model._meta.pk)
            order = f" ORDER BY {pk}" if source else ""
            statements.append(
                self._entry(recorded.audited, action, row, object_of, f"{source}{order}")
            )
        statements += [self.linked(link, verb, row, source) for link in self._links(recorded)]
        return statements

    def changed(self, audited: Audited) -> tuple[str, str] | None:
        """Return the condition that an updated row differs, and the statement that records how."""
        members, conditions = [], []
        for field in self._fields(audited):
            old, new = self._column("OLD", field), self._column("NEW", field)
            conditions.append(self.dialect.differs(field, old, new))
            values = self.dialect.value(field, old), self.dialect.value(field, new)
            members.append(self._change(audited, field.name, *values))
        for column in self._unknown(audited.model):
            old, new = (f"CAST({row}.{self.quote(column)} AS TEXT)" for row in ("OLD", "NEW"))
            conditions.append(f"{old} {self.dialect.is_not} {new}")
            members.append((column, self.dialect.literal(MASKED)))
        if not members:
            return None
        changes = self.dialect.json(self.dialect.some_of(members, conditions))
        return " OR ".join(conditions), self._entry(audited, "update", "NEW", changes, "")

    def linked(self, link: Link, verb: str, row: str, source: str) -> str:
        """Return the statement that records links together for each object that has the field."""
        ends = (
            f"(SELECT {self._column(row, link.source)} AS pk,"
            f" {self._column(row, link.target)} AS target{source} ORDER BY 1, 2) AS links"
        )
        targets = self.dialect.array_of(self.dialect.value(link.target, "target"))
        none = self.dialect.literal("[]")
        added, removed = (targets, none) if verb == "added" else (none, targets)
        change = self.dialect.object_of([("added", added), ("removed", removed)])
        if link.field.name in link.audited.masked:
            change = self.dialect.literal(MASKED)
        changes = self.dialect.json(self.dialect.object_of([(link.field.name, change)]))
        return self._entry(
            link.audited,
            "update",
            None,
            changes,
            f" FROM {ends} WHERE pk IS NOT NULL AND target IS NOT NULL GROUP BY pk",
        )

    def moved(self, link: Link) -> str:
        """Return the condition that a row has become another link."""
        return " OR ".join(
            self.dialect.differs(end, self._column("OLD", end), self._column("NEW", end))
            for end in (link.source, link.target)
        )

    def rekeyed(self, model: type[Model]) -> str:
        """Return the condition that a row has got another key."""
        pk = model._meta.pk
        return self.dialect.differs(pk, self._column("OLD", pk), self._column("NEW", pk))

    def _entry(
        self, audited: Audited, action: str, row: str | None, changes: str, tail: str
    ) -> str:
        pk = audited.model._meta.pk
        key = self.dialect.key(pk, self._column(row, pk) if row else "pk")
        columns = {
            "created_at": self.who("created_at"),
            "action": f"'{action}'",
            "model_label": f"'{audited.model._meta.label}'",
            "object_id": key,
            "object_repr": self._name(audited, row, key),
            **{name: self.who(name) for name in ("actor_id", "actor_name", "source", "request_id")},
            "changes": changes,
        }
        names = ", ".join(map(self.quote, columns))
        return f"INSERT INTO {self.entries} ({names}) SELECT {', '.join(columns.values())}{tail}"

    def _name(self, audited: Audited, row: str | None, key: str) -> str:
        """Return SQL for what an object is called: a column, or what the trail knew it by last."""
        if row and audited.name and self._has(audited.model, audited.name):
            name = f"CAST({self._column(row, audited.name)} AS TEXT)"
            return f"coalesce(substr({name}, 1, 200), '')"
        named = [one for one in registry.covering(audited.model) if one.name]
        if not named or (row and audited.name):
            return "''"
        return (
            f"coalesce((SELECT known.object_repr FROM {self.entries} AS known WHERE"
            f" known.model_label = '{named[-1].model._meta.label}' AND known.object_id = {key}"
            " ORDER BY known.id DESC LIMIT 1), '')"
        )

    def _change(self, audited: Audited, name: str, old: str, new: str) -> tuple[str, str]:
        if name in audited.masked:
            return name, self.dialect.literal(MASKED)
        return name, self.dialect.object_of([("old", old), ("new", new)])

    def _fields(self, audited: Audited) -> list[Field]:
        return [field for field in registry.fields_of(audited) if self._has(audited.model, field)]

    def _links(self, recorded: Recorded) -> list[Link]:
        return [
            link
            for link in recorded.links
            if self._has(link.through, link.source) and self._has(link.through, link.target)
        ]

    def _unknown(self, model: type[Model]) -> Sequence[str]:
        known = {field.column for field in model._meta.local_concrete_fields}
        return sorted(self.live[model._meta.db_table] - known) if self.migrating else ()

    def _has(self, model: type[Model], field: Field) -> bool:
        return field.column in self.live.get(model._meta.db_table, ())

    def _column(self, row: str | None, field: Field) -> str:
        return f"{row}.{self.quote(field.column)}"


class SQLiteCapture(Capture):
    """Row triggers, for SQLite knows no others."""

    def who(self, column: str) -> str:
        return f"{WHO}('{column}')"

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        created = self.whole(recorded, "create", "NEW", "")
        deleted = self.whole(recorded, "delete", "OLD", "")
        yield self._definition(model, "insert", created)
        yield self._definition(model, "delete", deleted)
        if recorded.audited:
            own = Recorded(recorded.audited, ())
            rekeyed = self.rekeyed(model)
            both = [*self.whole(own, "delete", "OLD", ""), *self.whole(own, "create", "NEW", "")]
            yield self._definition(model, "rekey", both, rekeyed)
            if changed := self.changed(recorded.audited):
                condition, statement = changed
                when = f"NOT ({rekeyed}) AND ({condition})"
                yield self._definition(model, "update", [statement], when)
        for number, link in enumerate(self._links(recorded)):
            both = [self.linked(link, "removed", "OLD", ""), self.linked(link, "added", "NEW", "")]
            yield self._definition(model, f"move{number}", both, self.moved(link))

    def _definition(
        self, model: type[Model], event: str, statements: list[str], when: str = ""
    ) -> Definition:
        name, timing = name_of(event, model._meta.label), event.upper()
        if event not in ("insert", "delete"):
            timing = "UPDATE"
        body = "".join(f"{statement}; " for statement in statements)
        return Definition(name, model._meta.db_table, f"AFTER {timing}", body, when)


class PostgreSQLCapture(Capture):
    """Transition tables for new and deleted rows; old and new of an updated row belong together."""

    def who(self, column: str) -> str:
        return "clock_timestamp()" if column == "created_at" else f"who.{column}"

    def definitions(self, tables: Set[str] | None = None) -> Iterator[Definition]:
        yield Definition(WHO, "", "", self._who(), self._parameters())
        yield from super().definitions(tables)

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        created = self.whole(recorded, "create", "r", " FROM new_rows AS r")
        yield self._definition(model, "insert", created)
        for event, rows in (("delete", "old_rows"), ("truncate", self._qualified(model))):
            deleted = self.whole(recorded, "delete", "r", f" FROM {rows} AS r")
            yield self._definition(model, event, deleted, before=self._leaver(model, rows))
        yield self._update(model, recorded)

    def _update(self, model: type[Model], recorded: Recorded) -> Definition:
        parts, conditions = [], []
        if recorded.audited:
            own, rekeyed = Recorded(recorded.audited, ()), self.rekeyed(model)
            both = [*self.whole(own, "delete", "OLD", ""), *self.whole(own, "create", "NEW", "")]
            parts.append(f"IF {rekeyed} THEN {'; '.join(both)};")
            conditions.append(rekeyed)
            if changed := self.changed(recorded.audited):
                parts.append(f"ELSIF {changed[0]} THEN {changed[1]};")
                conditions.append(changed[0])
            parts.append("END IF;")
        for link in self._links(recorded):
            moved = self.moved(link)
            both = [self.linked(link, "removed", "OLD", ""), self.linked(link, "added", "NEW", "")]
            parts.append(f"IF {moved} THEN {'; '.join(both)}; END IF;")
            conditions.append(moved)
        body = (
            f"DECLARE who record; BEGIN IF NOT ({' OR '.join(conditions)}) THEN RETURN NULL; END IF;"
            f" who := {self.schema}{WHO}(); {' '.join(parts)} RETURN NULL; END"
        )
        return Definition(name_of("update", model._meta.label), model._meta.db_table, "update", body)

    def _definition(
        self, model: type[Model], event: str, statements: list[str], before: str = ""
    ) -> Definition:
        body = (
            f"DECLARE who record; BEGIN who := {self.schema}{WHO}(); {before}"
            f"{'; '.join(statements)}; RETURN NULL; END"
        )
        return Definition(name_of(event, model._meta.label), model._meta.db_table, event, body)

    def _leaver(self, model: type[Model], rows: str) -> str:
        """Return SQL that finds the name of users who delete themselves: their row has gone."""
        users = self._users()
        if rows != "old_rows" or users is None or users[0] is not model:
            return ""
        return (
            "IF who.actor_id IS NOT NULL THEN who.actor_name := coalesce((SELECT"
            f" substr({users[2]}, 1, 254) FROM old_rows WHERE {users[1]} = who.actor_id),"
            " who.actor_name); END IF; "
        )

    def _users(self) -> tuple[type[Model], str, str] | None:
        """Return the model with the names of users, and SQL for its key and the name."""
        field = user_field()
        model = field.model
        if registry.is_masked(get_user_model(), field.name) or not self._has(model, field):
            return None
        return model, self.quote(model._meta.pk.column), f"CAST({self.quote(field.column)} AS TEXT)"

    def _parameters(self) -> str:
        actor = ACTOR.db_type(self.connection)
        return f"OUT actor_id {actor}, OUT actor_name text, OUT source text, OUT request_id text"

    def _who(self) -> str:
        """Return the body of the function that reads who acts from the beginning of the statement."""
        actor, users = ACTOR.db_type(self.connection), self._users()
        key = "found[1]"
        if key_type(get_user_model()._meta.pk) == "CharField":
            key = "convert_from(decode(found[1], 'hex'), 'UTF8')"
        name = "NULL"
        if users:
            model, pk, name = users
            name = (
                f"(SELECT substr({name}, 1, 254) FROM {self._qualified(model)}"
                f" WHERE {pk} = {WHO}.actor_id)"
            )
        return (
            "DECLARE found text[] := regexp_match(left(current_query(), 1000),"
            r" '^/\*audit ([^|*]*)\|([a-z]+)\|([A-Za-z0-9._-]*)\*/');"
            " BEGIN IF found IS NULL THEN"
            " actor_name := session_user; source := 'database'; request_id := ''; RETURN; END IF;"
            " source := found[2]; request_id := found[3]; actor_name := '';"
            " IF found[1] = '' THEN RETURN; END IF;"
            f" actor_id := CAST({key} AS {actor});"
            f" actor_name := coalesce({name}, (SELECT known.actor_name FROM {self.entries} AS known"
            f" WHERE known.actor_id = {WHO}.actor_id ORDER BY known.id DESC LIMIT 1), ''); END"
        )

    def _qualified(self, model: type[Model]) -> str:
        table = self.quote(model._meta.db_table)
        return table if '"."' in table else self.schema + table
