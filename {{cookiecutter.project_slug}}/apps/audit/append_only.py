"""Triggers that keep entries and seals as they are, no matter who asks the database to change them.

They refuse to change, to delete and to overwrite. There are two exceptions, and each needs a
statement that stays. Entries can be deleted if a pruning, a link of the chain of seals, covers
them. Personal values can give way to a mark if an entry of the action ``forget`` lists them.
A link has the next number, and covers no entry that is not there yet.
"""

from collections.abc import Iterator, Set
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from .capture import Capture, Trigger
from .fields import FORGOTTEN, MARKS
from .models import Entry, Seal

ENTRIES: Final = Entry._meta.db_table
SEALS: Final = Seal._meta.db_table
REFUSAL: Final = "The audit trail is append-only: {table} cannot be changed or deleted."
MISFIT: Final = "The chain of seals takes only the next link, over entries that there are."
PRUNED: Final = "(OLD.id <= (SELECT MAX(until) FROM {seals} WHERE kind = 'pruning')) IS NOT TRUE"
# A pruning says how many entries it covers. The ids that the database has assigned are the limit,
# because an entry can be added under any other id.
UNFIT: Final = (
    "NEW.until > ({last_assigned_id}) OR NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM"
    " {seals}) OR NEW.kind = 'pruning' AND NEW.count <>"
    " (SELECT COUNT(*) FROM {entries} WHERE id <= NEW.until)"
)
LAST_ASSIGNED_ID: Final = {
    "postgresql": "SELECT last_value FROM {schema}audit_entry_id_seq",
    "sqlite": "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'audit_entry'",
}
# An entry names the statement by which its values are forgotten, and the statement lists the entry.
# Each statement counts once. Only names and the values of listed fields can give way to the mark.
FORGETS: Final = """NOT EXISTS (
    SELECT 1 FROM {entries} AS told
    WHERE told.id = {by} AND told.action = 'forget' AND {reason} <> ''
    AND {by} {is_not} {before} AND ({in_object} OR {in_actor}) AND {same}
    AND (NEW.object_repr = OLD.object_repr OR NEW.object_repr = '{mark}' AND {in_object})
    AND (NEW.actor_name = OLD.actor_name OR NEW.actor_name = '{mark}' AND {in_actor})
    AND (SELECT {names} FROM {each}(OLD.changes) WHERE key <> '{mark}')
        = (SELECT {names} FROM {each}(NEW.changes) WHERE key <> '{mark}')
    AND NOT EXISTS (
        SELECT 1 FROM {each}(OLD.changes) AS former
        JOIN {each}(NEW.changes) AS later ON later.key = former.key
        WHERE later.key <> '{mark}' AND {other}
        AND ({marked} AND {in_object} AND {in_fields}) IS NOT TRUE
    )
)"""
CHANGEABLE: Final = frozenset({"object_repr", "actor_name", "changes"})
SALTED: Final = "NOT ({same} AND length(NEW.salts) = length(OLD.salts))"
PARTS: Final = {
    "postgresql": {
        "by": f"(NEW.changes -> '{FORGOTTEN}' -> 'by' ->> -1)::bigint",
        "before": f"(OLD.changes -> '{FORGOTTEN}' -> 'by' ->> -1)::bigint",
        "reason": "told.changes -> '' ->> 'reason'",
        "in_object": "told.changes -> '' -> 'object' @> to_jsonb(OLD.id)",
        "in_actor": "told.changes -> '' -> 'actor' @> to_jsonb(OLD.id)",
        "in_fields": "told.changes -> '' -> 'fields' -> OLD.model_label @> to_jsonb(later.key)",
        "each": "jsonb_each",
        "names": "coalesce(jsonb_agg(key), '[]')",
        "other": "later.value <> former.value",
        "marked": f"later.value = '{MARKS['postgresql']}'",
    },
    "sqlite": {
        "by": f"""json_extract(NEW.changes, '$."{FORGOTTEN}".by[#-1]')""",
        "before": f"""json_extract(OLD.changes, '$."{FORGOTTEN}".by[#-1]')""",
        "reason": """json_extract(told.changes, '$."".reason')""",
        "in_object": """OLD.id IN (SELECT value FROM json_each(told.changes, '$."".object'))""",
        "in_actor": """OLD.id IN (SELECT value FROM json_each(told.changes, '$."".actor'))""",
        "in_fields": "later.key IN (SELECT value FROM json_each("
        """told.changes, '$."".fields."' || OLD.model_label || '"'))""",
        "each": "json_each",
        "names": "json_group_array(key)",
        "other": "(later.type, later.value) IS NOT (former.type, former.value)",
        "marked": f"later.type = 'object' AND later.value = '{MARKS['sqlite']}'",
    },
}


def triggers(capture: Capture) -> Iterator[Trigger]:
    """Make the triggers of the two tables."""
    vendor = capture.connection.vendor
    names = {"entries": capture.at(Entry), "seals": capture.at(Seal)}
    names["last_assigned_id"] = LAST_ASSIGNED_ID[vendor].format(schema=capture.schema)
    same = _same(capture, Entry, CHANGEABLE)
    more = PARTS[vendor] | {"mark": FORGOTTEN, "is_not": capture.is_not, "same": same}
    forgets, pruned = FORGETS.format(**names, **more), PRUNED.format(**names)
    salted = SALTED.format(same=_same(capture, Seal, {"salts"}))
    for table, changed, gone in ((ENTRIES, forgets, pruned), (SEALS, salted, "TRUE")):
        refusal = REFUSAL.format(table=table)
        yield capture.refusal(table, "UPDATE", changed, refusal)
        yield capture.refusal(table, "DELETE", gone, refusal)
        if vendor == "postgresql":
            yield capture.refusal(table, "TRUNCATE", "TRUE", refusal)
        elif table == ENTRIES:
            # INSERT OR REPLACE deletes the row that it replaces, and does not ask the trigger above.
            # A key that the database has not assigned yet is -1 here, and costs no search.
            there = f"NEW.id > 0 AND EXISTS (SELECT 1 FROM {ENTRIES} WHERE id = NEW.id)"  # noqa: S608
            yield capture.refusal(table, "INSERT", there, refusal)
    yield capture.refusal(SEALS, "INSERT", UNFIT.format(**names), MISFIT)


def _same(capture: Capture, model: type[Model], changeable: Set[str]) -> str:
    """Return the condition that an UPDATE leaves all other columns as they are."""
    return " AND ".join(
        f"NOT (NEW.{field.column} {capture.is_not} OLD.{field.column})"
        for field in model._meta.local_concrete_fields
        if field.column not in changeable
    )


def last_assigned_id(connection: BaseDatabaseWrapper) -> int:
    """Return the highest id that a database has assigned to an entry, which may be gone now.

    On SQLite it may also be the id that a program has chosen: later ids follow it.
    """
    with connection.cursor() as cursor:
        cursor.execute(LAST_ASSIGNED_ID[connection.vendor].format(schema=""))
        return int(cursor.fetchone()[0])
