"""The trail's triggers on PostgreSQL: one for all rows of a statement together.

An UPDATE of one row has a trigger for itself, which is faster.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.db.models import Field, Model

from . import registry
from .capture import ACTOR, MANY, OPEN, PREFIX, Capture, Trigger, name_of, user_field
from .fields import JSON_NULL, has_other_equals, is_json, key_type, pointed_to
from .models import Entry
from .registry import Recorded

# The bits of an event in the catalogue, besides those for each row (1) and before it (2).
EVENTS: Final = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
MOST_ARGUMENTS: Final = 100
# Nothing that a session has of its own can mislead a function, and nothing is compiled for one row.
SETTINGS: Final = {"search_path": "pg_catalog, pg_temp", "jit": "off"}


class PostgreSQLCapture(Capture):
    """See ``Capture``."""

    is_not = "IS DISTINCT FROM"
    keys, grouped = "string_agg({keys}, ',' ORDER BY {key})", " GROUP BY {pk}"
    find_schema = "SELECT quote_ident(current_schema()) || '.'"
    find_columns = """
        SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relname = ANY (ARRAY (SELECT jsonb_array_elements_text(%s)))
            AND (relkind = 'r' OR relkind = 'p' AND relname = 'audit_entry') AND NOT relispartition
            AND pg_table_is_visible(pg_class.oid) AND attnum > 0 AND NOT attisdropped
    """
    find_triggers = """
        SELECT proname, relname, prosrc, proconfig, prosecdef, lanname, tgtype, tgoldtable,
            tgnewtable, tgenabled, tgqual
        FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        LEFT JOIN pg_trigger ON tgfoid = pg_proc.oid AND tgname = proname AND tgparentid = 0
        LEFT JOIN pg_class ON pg_class.oid = tgrelid
        WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, %s)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.who = {
            "created_at": "moment",
            "actor_id": "actor",
            "actor_name": "name",
            "source": "coalesce(said[2], 'database')",
            "request_id": "coalesce(said[3], '')",
        }

    def of(self, model: type[Model], recorded: Recorded) -> Iterator[Trigger]:
        asked, table = self._who_acts(), model._meta.db_table

        def trigger(event: str, body: str, rows: str = "") -> Trigger:
            name = name_of(event.split()[1], model._meta.label)
            return self._trigger(name, table, event, body, rows)

        created = self.whole(recorded, "create", "r", " FROM new_rows AS r")
        yield trigger("AFTER INSERT", asked + _all(created), "NEW TABLE AS new_rows")
        deleted = self.whole(recorded, "delete", "r", " FROM old_rows AS r")
        # A deletion that collects what goes along asks many tables that have nothing of it.
        some = "IF NOT EXISTS (SELECT FROM old_rows) THEN RETURN NULL; END IF; "
        # The row of users who delete themselves has gone.
        gone = self._who_acts("old_rows") if model is user_field().model else asked
        yield trigger("AFTER DELETE", some + gone + _all(deleted), "OLD TABLE AS old_rows")
        there = self.whole(recorded, "delete", "r", f" FROM {self.at(model)} AS r")
        yield trigger("BEFORE TRUNCATE", asked + _all(there))
        yield from self._updates(model, recorded, asked)

    def _updates(self, model: type[Model], recorded: Recorded, asked: str) -> Iterator[Trigger]:
        """Make two triggers, of which the front of a statement says which one is to act.

        One row is recorded faster by itself, even more so when it does not change. Many rows are
        recorded faster together. Old and new rows come in the same order; what belongs to
        another key than before is recorded as deleted and created, so the order does no harm.
        """
        table, label, name = model._meta.db_table, model._meta.label, self.quote(f"{PREFIX}row")
        many = f"starts_with(current_query(), '{MANY}')"
        rows = "".join(
            f"IF {condition} THEN {asked}{_all(statements)}END IF; "
            for _, condition, statements in self.cases(recorded)
        )
        body = f"IF {many} THEN RETURN NULL; END IF; {rows}"
        yield self._trigger(name_of("update", label), table, "AFTER UPDATE", body)
        old, new = (
            f"(SELECT row_number() OVER () AS {name}, * FROM {rows}) AS {alias}"  # noqa: S608
            for rows, alias in (("old_rows", "o"), ("new_rows", "n"))
        )
        # A full join is no nested loop, which a plan for few rows would be.
        pairs = f" FROM {old} FULL JOIN {new} ON o.{name} = n.{name}"
        cases = (_all(statements) for _, _, statements in self.cases(recorded, "o", "n", pairs))
        body = f"IF NOT {many} THEN RETURN NULL; END IF; {asked}{''.join(cases)}"
        transition = "OLD TABLE AS old_rows NEW TABLE AS new_rows"
        yield self._trigger(name_of("updates", label), table, "AFTER UPDATE", body, transition)

    def refusal(self, table: str, event: str, condition: str, text: str) -> Trigger:
        refuse = f"RAISE EXCEPTION '{text}' USING ERRCODE = 'restrict_violation'"
        row = "NEW" if event == "INSERT" else "OLD"
        body = f"IF {condition} THEN {refuse}; END IF; RETURN {row}; "
        name = name_of(f"keep {event}", table)
        # In sessions that play the replica, too. Rows that come to one come with their entries.
        return self._trigger(name, table, f"BEFORE {event}", body, always=True)

    def removal(self, name: str) -> str:
        # A trigger goes with its function.
        return f"DROP FUNCTION IF EXISTS {self.schema}{self.quote(name)} CASCADE"

    def value(self, field: Field, sql: str) -> str:
        field = pointed_to(field)
        match field.get_internal_type():
            case "JSONField":
                wrapped = f"{OPEN} || '\"{JSON_NULL}\":' || {sql}::text || '}}'"
                return (
                    f"CASE WHEN jsonb_typeof({sql}::jsonb) = 'null' OR {sql} -> '{JSON_NULL}'"
                    f" IS NOT NULL THEN {wrapped} ELSE coalesce({sql}::text, 'null') END"
                )
            case "DecimalField":
                sql = f"{sql}::text"
            case "BinaryField":
                sql = f"translate(encode({sql}, 'base64'), E'\\n', '')"
            case _ if _holds_decimals(field):
                sql = f"{sql}::text[]"
        return f"coalesce(to_json({sql})::text, 'null')"

    def comparable(self, field: Field, sql: str) -> str:
        if is_json(field):
            # As values of JSON, 1 and 1.0 are the same.
            return f"{sql}::text"
        return f'{sql}::text COLLATE "C"' if has_other_equals(field) else sql

    def joined(self, *texts: str) -> str:
        # One call is sooner ready than as many operators. A function takes 100 arguments.
        if len(texts) > MOST_ARGUMENTS:
            rest = self.joined(*texts[MOST_ARGUMENTS:])
            return f"{self.joined(*texts[:MOST_ARGUMENTS])} || {rest}"
        return f"concat({', '.join(texts)})"

    def _trigger(
        self, name: str, table: str, event: str, body: str, rows: str = "", *, always: bool = False
    ) -> Trigger:
        """Return a trigger and its function; ``rows`` names all that a statement has written."""
        timing, action = event.split()
        each = not rows and action != "TRUNCATE"
        kind = EVENTS[action] + 2 * (timing == "BEFORE") + each
        body = (
            "#variable_conflict use_variable\nDECLARE moment timestamptz := clock_timestamp();"
            f" said text[]; actor {ACTOR.db_type(self.connection)}; name text := '';"
            f" BEGIN {body}RETURN NULL; END"
        )
        settings = " ".join(f"SET {setting} = {value}" for setting, value in SETTINGS.items())
        quoted, on = self.quote(name), self.quote(table)
        creation = [
            self.removal(name),
            f"CREATE FUNCTION {self.schema}{quoted}() RETURNS trigger LANGUAGE plpgsql {settings}"
            f" AS $audit${body}$audit$",
            f"DROP TRIGGER IF EXISTS {quoted} ON {on}",
            f"CREATE TRIGGER {quoted} {event} ON {on} {f'REFERENCING {rows}' if rows else ''}"
            f" FOR EACH {'ROW' if each else 'STATEMENT'} EXECUTE FUNCTION {self.schema}{quoted}()",
            *([f"ALTER TABLE {on} ENABLE ALWAYS TRIGGER {quoted}"] if always else []),
        ]
        old, new = (f"{one}_rows" if one.upper() in rows else None for one in ("old", "new"))
        found = [f"{setting}={value}" for setting, value in SETTINGS.items()]
        enabled = "A" if always else "O"
        return Trigger(
            name,
            table,
            creation,
            [table, body, found, False, "plpgsql", kind, old, new, enabled, None],
        )

    def _who_acts(self, rows: str = "") -> str:
        """Return statements that read who acts from the front of the statement that was sent.

        Their name is among these rows, in the table of users, or in their latest entry.
        """
        key = "substr(said[1], 9)"
        if key_type(ACTOR) == "CharField":
            key = f"convert_from(decode({key}, 'hex'), 'UTF8')"
        tables = [*([rows] if rows else []), self.at(user_field().model)]
        names = ", ".join([*(name for table in tables for name in self._name_in(table)), "NULL"])
        known = (
            f"(SELECT known.actor_name FROM {self.at(Entry)} AS known"  # noqa: S608
            " WHERE known.actor_id = actor ORDER BY known.id DESC LIMIT 1)"
        )
        return (
            "IF NOT starts_with(current_query(), '/*audit') THEN name := session_user; ELSE"
            " said := string_to_array(split_part(current_query(), '*/', 1), '|');"
            f" IF length(said[1]) > 8 THEN actor := {key}; name := coalesce({names});"
            f" IF name IS NULL THEN name := coalesce({known}, ''); END IF; END IF; END IF; "
        )

    def _name_in(self, rows: str) -> list[str]:
        """Return SQL for the name of who acts among some rows of users, if names may be known."""
        field = user_field()
        if registry.is_masked(ACTOR.remote_field.model, field.name) or not self.has(
            field.model, field
        ):
            return []
        key = self.column("one", field.model._meta.pk)
        name = f"substr(CAST({self.column('one', field)} AS TEXT), 1, 254)"
        return [f"(SELECT {name} FROM {rows} AS one WHERE {key} = actor)"]  # noqa: S608


def _all(statements: Iterable[str]) -> str:
    return "".join(f"{statement}; " for statement in statements)


def _holds_decimals(field: Any) -> bool:
    """Whether a field is one of arrays, perhaps of arrays, of decimals."""
    base = None if hasattr(field, "range_type") else getattr(field, "base_field", None)
    return bool(base and (base.get_internal_type() == "DecimalField" or _holds_decimals(base)))
