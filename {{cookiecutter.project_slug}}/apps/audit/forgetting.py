"""Forgetting a person: personal values and names give way to a mark, and all else stays.

An entry of the action ``forget`` lists up to 1,000 entries whose parts are replaced. It is written
in the same transaction, and says who has done so, when and why.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from itertools import batched
from typing import Any, Final, NamedTuple

from django.db import Error, connections, transaction
from django.db.models import QuerySet

from apps.core import modules
from apps.core.actor import current_actor

from . import fingerprints, seals, triggers
from .context import actor_id, who_acts
from .differences import harmless
from .fields import FORGOTTEN
from .fingerprints import SALT, Opening
from .lineage import MODEL
from .models import Entry, Seal
from .person import BATCH, CannotForgetError, Person

# How the values of a mapping take the place of those that an entry has.
MERGED: Final[dict[str, Any]] = {
    "postgresql": lambda values: ("changes || %s::jsonb", [json.dumps(values)]),
    "sqlite": lambda values: (
        f"json_set(changes{', %s, json(%s)' * len(values)})",
        [each for name, one in values.items() for each in (f'$."{name}"', json.dumps(one))],
    ),
}


class Result(NamedTuple):
    """The number of entries that were changed in one database, and of rows of other modules."""

    using: str
    entries: int
    rows: int
    is_there: bool


def forget(
    label: str, key: str, reason: str, databases: Collection[str] | None = None
) -> list[Result]:
    """Forget a person in each database with a trail, or in some; each in one transaction.

    It is safe to run this again: a second run forgets what was written since. ``label`` and
    ``key`` name the object, as in ``Person``. The reason stays on the trail.

    Raises:
        CannotForgetError: if nothing was done, or not in all databases; the text says which.
    """
    if not (reason := harmless(reason.strip())):
        raise CannotForgetError(
            "The reason is empty, but it has to stay on the trail; for example 'She asked for it on"
            " 3 May'."
        )
    done: list[Result] = []
    aliases = databases or triggers.trails()
    alias, was_found = "", False
    try:
        for alias in aliases:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        for alias in aliases:
            with transaction.atomic(using=alias):
                person = Person(label, key, alias)
                result = _forget(person, reason)
            was_found = was_found or result.is_there or bool(person.about or person.by)
            done.append(result)
    except (Error, seals.BusyError) as error:
        names = ", ".join(one.using for one in done)
        where = f"it was forgotten in {names}" if done else "nothing was done"
        raise CannotForgetError(
            f"The database {alias!r} has failed ({' '.join(str(error).split())}): {where}; run it"
            " again."
        ) from error
    if not was_found:
        raise person.never_was()
    return done


def _forget(person: Person, reason: str) -> Result:
    """Forget a person in one database: what other modules keep, and then what the trail has."""
    rows, using = 0, person.using
    if person.is_user:
        rows = sum(one.forget(person.pk, using) for one in modules.module_configs())
    # Entries get their salts when they are sealed, also the entries of the changes above.
    for _ in seals.seal(using):
        pass
    # One run at a time: the first seal is the lock, because each run changes what entries keep.
    Seal.objects.using(using).select_for_update().first()
    person.find()
    until = seals.covered(using)
    keys = sorted(key for key in person.about | person.by if key <= until)
    count = sum(_forget_some(person, reason, some) for some in batched(keys, BATCH))
    return Result(using, count, rows, person.is_there())


def _forget_some(person: Person, reason: str, keys: Collection[int]) -> int:
    """Forget the parts of some entries, and return how many entries those were."""
    found: QuerySet[Entry] = person.entries.filter(pk__in=keys)
    entries = found.only("model_label", "object_repr", "actor_name").in_bulk()
    rows = {row.key: row for row in fingerprints.read(found)}
    parts = {key: some for key, row in rows.items() if (some := person.parts(entries[key], row))}
    if not parts:
        return 0
    fields = defaultdict[str, set[str]](set)
    for key, names in parts.items():
        fields[entries[key].model_label] |= {name for name in names if name[0] != "."}
    said = {
        "reason": reason,
        "fields": {label: sorted(names) for label, names in fields.items()},
        "object": [key for key, names in parts.items() if names != {".actor_name"}],
        "actor": [key for key, names in parts.items() if ".actor_name" in names],
    }
    who = who_acts(current_actor(), person.using)
    if person.is_user and who["actor_id"] == actor_id(person.pk, person.using):
        who["actor_name"] = FORGOTTEN
    statement = Entry(
        **who,
        action=Entry.Action.FORGET,
        model_label=person.label,
        object_id=person.key,
        changes={MODEL: said},
    )
    statement.save(using=person.using)
    salts = _take_salts(person.using, parts.keys())
    for key, names in parts.items():
        opening = rows[key].without(names, salts.get(key, b""), statement.pk)
        _replace(person.using, entries[key], names, opening)
    return len(parts)


def _take_salts(using: str, keys: Collection[int]) -> dict[int, bytes]:
    """Return the salts of some entries, and leave zeros in the seals instead."""
    found, number, left = dict[int, bytes](), 0, sorted(keys)
    links = Seal.objects.using(using).filter(kind=Seal.Kind.ENTRIES).order_by("number")
    while left and (link := links.filter(number__gt=number, until__gte=left[0]).first()):
        held = {key: salt for key, (_, salt) in seals.contents(link).items()}
        found |= {key: held[key] for key in held.keys() & keys}
        salts = b"".join(bytes(SALT) if key in found else salt for key, salt in held.items())
        # The database refuses to change the length, which somebody else may have done.
        if len(salts) == len(link.salts):
            links.filter(pk=link.pk).update(salts=salts)
        number, left = link.number, [key for key in left if key > link.until]
    return found


def _replace(using: str, entry: Entry, names: set[str], opening: Opening) -> None:
    """Put the mark in the place of the parts of an entry."""
    values: dict[str, Any] = {name: {"forgotten": True} for name in names if name[0] != "."}
    connection = connections[using]
    changes, parameters = MERGED[connection.vendor](values | {FORGOTTEN: opening._asdict()})
    columns = [
        FORGOTTEN if f".{name}" in names else getattr(entry, name) for name in fingerprints.NAMES
    ]
    statement = f"UPDATE audit_entry SET object_repr = %s, actor_name = %s, changes = {changes}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} WHERE id = %s", [*columns, *parameters, entry.pk])
