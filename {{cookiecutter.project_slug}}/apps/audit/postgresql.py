"""The trail's triggers on PostgreSQL: one for all rows that are new, or deleted, together.

The rows of an UPDATE come one by one, for only so old and new belong together whatever
became of their keys.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import batched
from typing import Any, Final

from django.db.models import Field, Model

from . import registry
from .capture import ACTOR, WHO, Capture, Definition, Members, name_of, user_field
from .fields import JSON_NULL, has_other_equals, is_json, key_type, pointed_to
from .registry import Recorded

# When a trigger fires, how the catalogue says so (an odd number: for each row), the names of its
# transition tables, and whether it fires in sessions that play the replica, too ("A"). Rows that
# come to a replica come with the entries that were written of them.
EVENTS: Final[dict[str, Any]] = {
    "insert": ("AFTER INSERT", 4, None, "new_rows", "O"),
    "update": ("AFTER UPDATE", 17, None, None, "O"),
    "delete": ("AFTER DELETE", 8, "old_rows", None, "O"),
    "truncate": ("BEFORE TRUNCATE", 34, None, None, "O"),
    "keep": ("BEFORE UPDATE OR DELETE", 27, None, None, "A"),
    "keep_all": ("BEFORE TRUNCATE", 34, None, None, "A"),
    "admit": ("BEFORE INSERT", 7, None, None, "A"),
}
# Nothing that a session has of its own can mislead a function, and nothing is compiled for one row.
SETTINGS: Final = {"search_path": "pg_catalog, pg_temp", "jit": "off"}
# Functions take a hundred arguments.
MOST_MEMBERS: Final = 50


class PostgreSQLCapture(Capture):
    """See ``Capture``."""

    is_not, groups = "IS DISTINCT FROM", True
    live = """
        SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relname = ANY (ARRAY (SELECT jsonb_array_elements_text(%s))) AND relkind = 'r'
            AND NOT relispartition AND pg_table_is_visible(pg_class.oid) AND attnum > 0 AND NOT attisdropped
    """
    there = """
        SELECT proname, relname, prosrc, proconfig, prosecdef, lanname, tgtype, tgoldtable,
            tgnewtable, tgenabled, tgqual
        FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        LEFT JOIN pg_trigger ON tgfoid = pg_proc.oid AND tgname = proname
        LEFT JOIN pg_class ON pg_class.oid = tgrelid
        WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, %s)
    """

    def find_schema(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema()) || '.'")
            return str(cursor.fetchone()[0])

    def creation(self, one: Definition) -> list[str]:
        name, table = self.quote(one.name), self.quote(one.table)
        settings = " ".join(f"SET {setting} = {value}" for setting, value in SETTINGS.items())
        statements = [
            self.removal(one.name),
            f"CREATE FUNCTION {self.schema}{name}({one.when})"
            f" RETURNS {'trigger' if one.event else 'record'}"
            f" LANGUAGE plpgsql {settings} AS $audit${one.body}$audit$",
        ]
        if one.event:
            event, kind, old, new, enabled = EVENTS[one.event]
            rows = f" REFERENCING {'OLD' if old else 'NEW'} TABLE AS {old or new}"
            statements += [
                f"DROP TRIGGER IF EXISTS {name} ON {table}",
                f"CREATE TRIGGER {name} {event} ON {table}{rows if old or new else ''}"
                f" FOR EACH {'ROW' if kind % 2 else 'STATEMENT'} EXECUTE FUNCTION {self.schema}{name}()",
            ]
            if enabled == "A":
                statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
        return statements

    def removal(self, name: str) -> str:
        # A trigger goes with its function.
        return f"DROP FUNCTION IF EXISTS {self.schema}{self.quote(name)} CASCADE"

    def as_found(self, one: Definition) -> list[Any]:
        settings = [f"{name}={value}" for name, value in SETTINGS.items()]
        _, *kind = EVENTS.get(one.event, [None] * 5)
        return [one.table or None, one.body, settings, False, "plpgsql", *kind, None]

    def definitions(self, tables: Set[str] | None) -> Iterator[Definition]:
        actor = f"OUT actor_id {ACTOR.db_type(self.connection)}"
        returned = f"{actor}, OUT actor_name text, OUT source text, OUT request_id text"
        yield Definition(WHO, "", "", self._who(), returned)
        yield from super().definitions(tables)

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Definition]:
        table, label = model._meta.db_table, model._meta.label

        def definition(event: str, body: str) -> Definition:
            body = f"DECLARE who record; BEGIN {body} RETURN NULL; END"
            return Definition(name_of(event, label), table, event, body)

        asked = f"who := {self.schema}{WHO}();"
        created = self.whole(recorded, "create", "r", " FROM new_rows AS r")
        yield definition("insert", f"{asked} {_all(created)}")
        deleted = self.whole(recorded, "delete", "r", " FROM old_rows AS r")
        # A deletion that collects what goes along asks many tables that have nothing of it.
        some = "IF NOT EXISTS (SELECT FROM old_rows) THEN RETURN NULL; END IF;"
        yield definition("delete", f"{some} {asked} {self._leaver(model)} {_all(deleted)}")
        there = f" FROM {self.schema}{self.quote(table)} AS r"
        yield definition("truncate", f"{asked} {_all(self.whole(recorded, 'delete', 'r', there))}")
        cases = [self.moved(link) for link in self.links(recorded)]
        if recorded.audited:
            rekeyed, both = self.rekeyed(recorded.audited)
            changed, one = self.changed(recorded.audited)
            cases += [(rekeyed, both), (f"NOT ({rekeyed}) AND ({changed})", one)]
        parts = [f"IF {when} THEN {asked} {_all(these)} END IF;" for when, these in cases if these]
        yield definition("update", " ".join(parts))

    def who(self, column: str) -> str:
        return "clock_timestamp()" if column == "created_at" else f"who.{column}"

    def value(self, field: Field, sql: str) -> str:
        field = pointed_to(field)
        match field.get_internal_type():
            case "JSONField":
                wrapped = f"jsonb_build_object('{JSON_NULL}', {sql})"
                return (
                    f"CASE WHEN jsonb_typeof({sql}::jsonb) = 'null' OR {sql} -> '{JSON_NULL}'"
                    f" IS NOT NULL THEN {wrapped} ELSE {sql}::jsonb END"
                )
            case "DecimalField":
                return f"{sql}::text"
            case _ if _holds_decimals(field):
                return f"{sql}::text[]"
            case "BinaryField":
                return f"translate(encode({sql}, 'base64'), E'\\n', '')"
        return sql

    def differs(self, field: Field, one: str, other: str) -> str:
        if is_json(field):
            # As values of JSON, 1 and 1.0 are the same.
            one, other = f"{one}::text", f"{other}::text"
        elif has_other_equals(field):
            one, other = f'{one}::text COLLATE "C"', f'{other}::text COLLATE "C"'
        return f"{one} IS DISTINCT FROM {other}"

    def literal(self, json: str) -> str:
        return f"'{json}'::json"

    def array_of(self, sql: str) -> str:
        return f"json_agg({sql})"

    def object_of(self, members: Members) -> str:
        objects = [
            "json_build_object(" + ", ".join(f"'{name}', {sql}" for name, sql in some) + ")"
            for some in [*batched(members, MOST_MEMBERS)] or [()]
        ]
        if len(objects) == 1:
            return objects[0]
        return "(" + " || ".join(f"{one}::jsonb" for one in objects) + ")"

    def some_of(self, members: Members, conditions: Sequence[str]) -> str:
        parts = [
            f"CASE WHEN {condition} THEN concat('\"{name}\":', {sql}) END"
            for (name, sql), condition in zip(members, conditions, strict=True)
        ]
        joined = [f"concat_ws(',', {', '.join(some)})" for some in batched(parts, MOST_MEMBERS)]
        if len(joined) > 1:
            joined = ["concat_ws(',', " + ", ".join(f"nullif({one}, '')" for one in joined) + ")"]
        return "concat('{', " + joined[0] + ", '}')::json"

    def _leaver(self, model: type[Model]) -> str:
        """Return SQL that finds the name of users who delete themselves: their row has gone."""
        users = self._users()
        if users is None or users[0] is not model:
            return ""
        _, key, name = users
        return (
            "IF who.actor_id IS NOT NULL THEN who.actor_name := coalesce("  # noqa: S608
            f"(SELECT {name} FROM old_rows WHERE {key} = who.actor_id), who.actor_name); END IF;"
        )

    def _users(self) -> tuple[type[Model], str, str] | None:
        """Return the model with the names of users, and SQL for its key and the name."""
        field = user_field()
        is_masked = registry.is_masked(ACTOR.remote_field.model, field.name)
        if is_masked or not self.has(field.model, field):
            return None
        key = self.quote(field.model._meta.pk.column)
        return field.model, key, f"substr(CAST({self.quote(field.column)} AS TEXT), 1, 254)"

    def _who(self) -> str:
        """Return the body of the function that reads who acts from the front of the statement."""
        key, name = "found[1]", "NULL"
        if key_type(ACTOR) == "CharField":
            key = "convert_from(decode(found[1], 'hex'), 'UTF8')"
        if users := self._users():
            table = self.schema + self.quote(users[0]._meta.db_table)
            name = f"(SELECT {users[2]} FROM {table} WHERE {users[1]} = {WHO}.actor_id)"  # noqa: S608
        return (
            "DECLARE found text[] := regexp_match(left(current_query(), 1000),"  # noqa: S608
            r" '^/\*audit ([^|*]*)\|([a-z]+)\|([A-Za-z0-9._-]*)\*/');"
            " BEGIN IF found IS NULL THEN"
            " actor_name := session_user; source := 'database'; request_id := ''; RETURN; END IF;"
            " source := found[2]; request_id := found[3]; actor_name := '';"
            " IF found[1] = '' THEN RETURN; END IF;"
            f" actor_id := CAST({key} AS {ACTOR.db_type(self.connection)});"
            f" actor_name := coalesce({name}, (SELECT known.actor_name FROM {self.entries} AS known"
            f" WHERE known.actor_id = {WHO}.actor_id ORDER BY known.id DESC LIMIT 1), ''); END"
        )


def _all(statements: Sequence[str]) -> str:
    return " ".join(f"{statement};" for statement in statements)


def _holds_decimals(field: Any) -> bool:
    """Whether a field is one of arrays, perhaps of arrays, of decimals."""
    base = None if hasattr(field, "range_type") else getattr(field, "base_field", None)
    return bool(base and (base.get_internal_type() == "DecimalField" or _holds_decimals(base)))
