"""The trail's triggers on PostgreSQL: one trigger for all rows of a statement together.

An UPDATE of one row has a separate trigger, which is faster.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import batched
from typing import Final

from django.db.models import Field, Model

from . import registry
from .capture import ACTOR, FEW, MANY, MOST_OF_TWO, PREFIX, Capture, Trigger, name_of, user_field
from .models import Entry
from .values import JSON_NULL, key_type, pointed_to

# The bits of an event in the catalogue, besides those for each row (1) and before it (2).
EVENTS: Final = {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
# Types whose text is JSON.
PLAIN: Final = ("smallint", "integer", "bigint", "boolean")
# The beginnings of types whose values are compared as they are, and of texts. Other types may have
# no comparison, as XML, or one by which different values are equal, as 1 and 1.0 in JSON.
COMPARED: Final = (*PLAIN, "date", "time", "real", "double", "numeric", "uuid", "bytea")
TEXTS: Final = ("text", "char")
# The comment of the trail behind comments of others.
IN_FRONT: Final = "^(?:/[*](?:[^*/]|[*](?!/)|/(?![*]))*[*]/[[:space:]]*)*?(/[*]audit[ +][^*]*)[*]/"
# No setting of a session can mislead a function, and nothing is compiled for one row.
SETTINGS: Final = ("search_path=pg_catalog, pg_temp", "jit=off")
# Further ones, for tables with types whose text depends on them; each takes a little time.
WRITTEN: Final = {"range": "DateStyle=iso", "real|double": "extra_float_digits=1"}


class PostgreSQLCapture(Capture):
    is_not = "IS DISTINCT FROM"
    all_keys = "string_agg({keys}, ',' ORDER BY {key})"
    now, lock_rows = "clock_timestamp()", " FOR NO KEY UPDATE OF r"
    who = {
        "created_at": "moment",
        "actor_id": "actor",
        "actor_name": "name",
        "source": "coalesce(said[2], 'database')",
        "request_id": "coalesce(said[3], '')",
    }
    find_columns = """
        SELECT relnamespace::regnamespace || '.', relname, attname, format_type(atttypid, NULL)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relname = ANY (ARRAY (SELECT jsonb_array_elements_text(%s)))
            AND (relkind = 'r' OR relkind = 'p' AND relname = 'audit_entry') AND NOT relispartition
            AND pg_table_is_visible(pg_class.oid) AND attnum > 0 AND NOT attisdropped
    """
    find_triggers = """
        SELECT proname, relname, prosrc, proconfig, prosecdef, lanname, tgtype, tgoldtable,
            tgnewtable, CASE WHEN tgdeferrable THEN 'd' ELSE tgenabled END, tgqual, tgattr::text
        FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        LEFT JOIN pg_trigger ON tgfoid = pg_proc.oid AND tgname = proname AND tgparentid = 0
        LEFT JOIN pg_class ON pg_class.oid = tgrelid AND pg_table_is_visible(tgrelid)
        WHERE pg_function_is_visible(pg_proc.oid) AND starts_with(proname, %s)
    """

    def of(self, model: type[Model]) -> Iterator[Trigger]:
        asked, on = self._who_acts(), model._meta.db_table
        old_rows, new_rows = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
        # The front of a statement says whether it is about one row. The query of a server's own
        # process, such as pg_cron, is NULL.
        few, many = (f"starts_with(current_query(), '{front}')" for front in (FEW, MANY))
        what = model, "create", "r", " FROM new_rows AS r"
        created = self.whole(*what)
        if self.links_in(model):  # to gather the links of an object takes longer than to add one
            created = f"IF {few} THEN {self.whole(*what, each=True)}ELSE {created}END IF; "
        yield self._trigger("INSERT", on, "AFTER INSERT", asked + created, new_rows)
        deleted = self.whole(model, "delete", "r", " FROM old_rows AS r")
        # Django deletes from many related tables, most of which have no such rows.
        some = "IF NOT EXISTS (SELECT FROM old_rows) THEN RETURN NULL; END IF; "
        # The row of users who delete themselves has gone.
        gone = self._who_acts("old_rows") if model is user_field().model else asked
        yield self._trigger("DELETE", on, "AFTER DELETE", some + gone + deleted, old_rows)
        there = self.whole(model, "delete", "r", f" FROM {self.at(model)} AS r")
        yield self._trigger("TRUNCATE", on, "BEFORE TRUNCATE", asked + there)
        # One of two triggers on UPDATE acts. One row is recorded faster by itself, even more so
        # when it does not change.
        rows = "".join(
            f"IF {condition} THEN {asked}{statements}END IF; "
            for _, condition, statements in self.cases(model)
        )
        body = f"IF {many} THEN RETURN NULL; END IF; {rows}"
        yield self._trigger("update", on, "AFTER UPDATE", body)
        # Many rows are recorded faster together. Old and new rows come in the same order. A row whose
        # key changes is recorded as deleted and created, so the order does no harm.
        # A full join is no nested loop, which a plan for few rows would be.
        name = self.quote(f"{PREFIX}row")
        old, new = (
            f"(SELECT row_number() OVER () AS {name}, * FROM {rows}) AS {alias}"  # noqa: S608
            for rows, alias in (("old_rows", "o"), ("new_rows", "n"))
        )
        pairs = f" FROM {old} FULL JOIN {new} ON o.{name} = n.{name}"
        cases = (statements for _, _, statements in self.cases(model, "o", "n", pairs))
        body = f"IF {many} IS NOT TRUE THEN RETURN NULL; END IF; {asked}{''.join(cases)}"
        yield self._trigger("updates", on, "AFTER UPDATE", body, f"{old_rows} {new_rows}")

    def refusal(self, table: str, event: str, condition: str, text: str) -> Trigger:
        refuse = f"RAISE EXCEPTION '{text}' USING ERRCODE = 'restrict_violation'"
        row = "NEW" if event in ("INSERT", "UPDATE") else "OLD"
        body = f"IF {condition} THEN {refuse}; END IF; RETURN {row}; "
        return self._trigger(f"keep {event}", table, f"BEFORE {event}", body)

    def removal(self, name: str) -> str:
        # A trigger goes with its function.
        return f"DROP FUNCTION IF EXISTS {self.quote(name)} CASCADE"

    def value(self, field: Field, sql: str) -> str:
        kind, is_own, field = self.type_of(field), self.is_own(field), pointed_to(field)
        match field.get_internal_type():
            case _ if kind in PLAIN:
                return f"coalesce({sql}::text, 'null')"
            case "JSONField" if is_own:
                kind = f"jsonb_typeof({sql}::jsonb)"
                return self.json(kind, f"{sql} -> '{JSON_NULL}'", f"{sql}::text")
            case "DecimalField" | "HStoreField":
                sql = f"{sql}::text"
            case "BinaryField" if is_own:
                sql = f"translate(encode({sql}, 'base64'), E'\\n', '')"
            case _ if kind.endswith(("numeric[]", "hstore[]")):
                sql = f"{sql}::text[]"
        return f"coalesce(to_json({sql})::text, 'null')"

    def comparable(self, field: Field, sql: str) -> str:
        kind = self.type_of(field)
        text = sql if kind.startswith(TEXTS) else f"{sql}::text"
        # A column's collation may treat different texts as equal.
        return sql if kind.startswith(COMPARED) else f'{text} COLLATE "C"'

    def concatenated(self, parts: Sequence[str]) -> str:
        # One call is faster than many operators. A function takes 100 arguments.
        return " || ".join(f"concat({', '.join(some)})" for some in batched(parts, 100))

    def _trigger(self, name: str, table: str, event: str, body: str, rows: str = "") -> Trigger:
        """Return a trigger and its function; ``rows`` names all that a statement has written."""
        # Also in the sessions of a replica: its rows arrive together with their entries.
        always = name.startswith("keep ")
        name, (timing, action) = name_of(name, table), event.split()
        each = not rows and action != "TRUNCATE"
        kind = EVENTS[action] + 2 * (timing == "BEFORE") + each
        body = (
            "#variable_conflict use_variable\nDECLARE moment timestamptz := clock_timestamp();"
            f" said text[]; actor {ACTOR.db_type(self.connection)}; name text := '';"
            f" BEGIN {body}RETURN NULL; END"
        )
        kinds = " ".join(self.columns[table].values())
        more = (setting for types, setting in WRITTEN.items() if re.search(types, kinds))
        settings = [*SETTINGS, *more]
        quoted, on = self.quote(name), self.quote(table)
        creation = [
            self.removal(name),
            f"CREATE FUNCTION {self.schema}{quoted}() RETURNS trigger LANGUAGE plpgsql"
            f"{''.join(f' SET {setting}' for setting in settings)} AS $audit${body}$audit$",
            f"DROP TRIGGER IF EXISTS {quoted} ON {on}",
            f"CREATE TRIGGER {quoted} {event} ON {on} {f'REFERENCING {rows}' if rows else ''}"
            f" FOR EACH {'ROW' if each else 'STATEMENT'} EXECUTE FUNCTION {self.schema}{quoted}()",
            *([f"ALTER TABLE {on} ENABLE ALWAYS TRIGGER {quoted}"] if always else []),
        ]
        old, new = (f"{one}_rows" if one.upper() in rows else None for one in ("old", "new"))
        enabled = "A" if always else "O"
        found = [table, body, settings, False, "plpgsql", kind, old, new, enabled, None, ""]
        return Trigger(name, table, creation, found)

    def _who_acts(self, rows: str = "") -> str:
        """Return statements that read who acts from the comment in front of a statement.

        The name of the user is among these rows, in the table of users, or in the latest entry.
        """
        tables = [*([rows] if rows else []), self.at(user_field().model)]
        names, known = self._names(tables, "actor")
        others, other_known = self._names(tables, self._user_key("said[4]"))
        other = f"substr(coalesce({others}, {other_known}, ''), 1, {MOST_OF_TWO})"
        named = (
            f" name := {names}; IF name IS NULL THEN name := coalesce({known}, ''); END IF;"
            f" IF said[4] <> '' THEN name := concat(substr(name, 1, {MOST_OF_TWO}), ' (by ',"
            f" {other}, ')'); END IF;"
        )
        if registry.is_masked(ACTOR.remote_field.model, user_field().name):
            named = ""
        return (
            f"said := string_to_array(CASE WHEN left(current_query(), 8) IN ('{FEW}', '{MANY}') THEN"
            " split_part(current_query(), '*/', 1) WHEN starts_with(current_query(), '/*') THEN"
            f" substring(left(current_query(), 9999), '{IN_FRONT}') END, '|'); IF said IS NULL THEN"
            " name := session_user; ELSIF length(said[1]) > 8 THEN"
            f" actor := {self._user_key('substr(said[1], 9)')};{named} END IF; "
        )

    def _user_key(self, part: str) -> str:
        """Return SQL for the key of a user that is a part of the comment."""
        if key_type(ACTOR) == "CharField":
            part = f"convert_from(decode({part}, 'hex'), 'UTF8')"
        return f"CAST({part} AS {ACTOR.db_type(self.connection)})"

    def _names(self, tables: Sequence[str], key: str) -> tuple[str, str]:
        """Return SQL for the name of a user in the tables of users, and in their latest entry."""
        field, names = user_field(), []
        if self.has(field.model, field):
            pk, column = (self.column("one", each) for each in (field.model._meta.pk, field))
            name = f"substr(CAST({column} AS TEXT), 1, 254)"
            names = [f"(SELECT {name} FROM {table} AS one WHERE {pk} = {key})" for table in tables]  # noqa: S608
        # Without the user who acted as this one.
        known = (
            f"(SELECT split_part(known.actor_name, ' (by ', 1) FROM {self.at(Entry)} AS known"  # noqa: S608
            f" WHERE known.actor_id = {key} ORDER BY known.id DESC LIMIT 1)"
        )
        return f"coalesce({', '.join([*names, 'NULL'])})", known
