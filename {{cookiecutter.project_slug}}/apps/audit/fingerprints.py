"""Fingerprints of entries: each part of an entry can be forgotten, and the rest still be verified.

The parts are the two names and each field in ``changes``. Each has a secret salt, and its leaf is
a hash of the salt and the value. The fingerprint is a hash of all leaves and the other columns. For
a forgotten part the entry keeps the leaf, and for the others their salts.
"""

import hashlib
import json
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, Final, NamedTuple

from django.db import connections
from django.db.models import Min, QuerySet
from django.db.models.expressions import RawSQL

from .lineage import MODEL
from .models import Entry
from .values import FORGOTTEN, MARKS

# A link of the chain has the id of each entry with its fingerprint, and apart from them the salts.
LAYOUT: Final = struct.Struct(">q16s")
SALT: Final = 16
BATCH: Final = 1000
FIXED: Final = (
    "created_at", "action", "model_label", "object_id", "actor_id", "source", "request_id",
)  # fmt: skip
NAMES: Final = ("object_repr", "actor_name")
# A part that holds the mark instead of a value has this instead of a hash.
GONE: Final = "forgotten"
DIGITS: Final = re.compile("[0-9a-f]{32}")

# The database hashes values, as a value can have megabytes. It hashes text that no setting of a
# session changes. A column of SQLite can hold bytes that are not text, or text that is not JSON.
# hex() reads both. Django adds the function SHA256 to SQLite.
IS_OBJECT: Final = (
    "CASE WHEN typeof(changes) = 'text' AND instr(CAST(changes AS BLOB), x'00') = 0"
    " AND json_valid(changes) THEN json_type(changes) = 'object' ELSE 0 END"
)
COLUMNS: Final = {
    "postgresql": (
        "encode(sha256(convert_to(ROW(extract(epoch FROM created_at),"
        f" {', '.join(FIXED[1:])})::text, 'UTF8')), 'hex')",
        *(
            f"CASE WHEN {name} = '{FORGOTTEN}' THEN '{GONE}' ELSE"
            f" encode(sha256(convert_to(ROW({name})::text, 'UTF8')), 'hex') END"
            for name in NAMES
        ),
        f"""CASE jsonb_typeof(changes) WHEN 'object' THEN (
            SELECT string_agg(encode(convert_to(key, 'UTF8'), 'hex') || ':' ||
                CASE WHEN value = '{MARKS["postgresql"]}' THEN '{GONE}' ELSE
                encode(sha256(convert_to(value::text, 'UTF8')), 'hex') END, ',')
            FROM jsonb_each(changes) WHERE key <> '{FORGOTTEN}'
        ) ELSE ':' || encode(sha256(convert_to('!' || changes::text, 'UTF8')), 'hex') END""",  # noqa: S608
        f"encode(convert_to((changes -> '{FORGOTTEN}')::text, 'UTF8'), 'hex')",
    ),
    "sqlite": (
        f"SHA256({' || '.join(f"hex({name}) || typeof({name}) || ','" for name in FIXED)})",
        *(
            f"CASE WHEN {name} = '{FORGOTTEN}' THEN '{GONE}' ELSE"
            f" SHA256(hex({name}) || typeof({name})) END"
            for name in NAMES
        ),
        f"""CASE WHEN {IS_OBJECT} THEN (
            SELECT group_concat(hex(key) || ':' ||
                CASE WHEN type = 'object' AND value = '{MARKS["sqlite"]}' THEN '{GONE}' ELSE
                SHA256(type || hex(value) || CASE type WHEN 'real' THEN quote(value) ELSE '' END) END)
            FROM json_each(changes) WHERE key <> '{FORGOTTEN}'
        ) ELSE ':' || SHA256('!' || hex(changes)) END""",  # noqa: S608
        f"""CASE WHEN {IS_OBJECT} THEN (
            SELECT group_concat(hex(coalesce(value, 'null'))) FROM json_each(changes)
            WHERE key = '{FORGOTTEN}'
        ) END""",  # noqa: S608
    ),
}
WHOLE: Final = {
    "postgresql": "encode(convert_to(changes::text, 'UTF8'), 'hex')",
    "sqlite": "hex(changes)",
}


class Opening(NamedTuple):
    """The part of an entry that stays for forgotten parts, to compute its fingerprint.

    ``by`` has the ids of the entries that say why. ``kept`` maps each part that is still there to
    its salt, and ``gone`` each forgotten part to its leaf.
    """

    by: list[int]
    kept: dict[str, str]
    gone: dict[str, str]


class Statement(NamedTuple):
    """What an entry of the action ``forget`` says: the reason, the entries and their fields."""

    reason: str
    object: Set[int]
    actor: Set[int]
    fields: Mapping[str, Set[str]]


NOTHING: Final = Statement("", frozenset(), frozenset(), {})


class Row(NamedTuple):
    """The hashes that the database computes for an entry: of its columns, and of each part."""

    key: int
    fixed: str
    parts: list[tuple[str, str]]
    has_opening: bool
    opening: Opening | None

    def fingerprint(self, salt: bytes) -> bytes:
        """Return the fingerprint of an entry of which no part is forgotten."""
        return self._combine([_leaf(_salt(salt, name), digest) for name, digest in self.parts])

    def opened(self) -> bytes | None:
        """Return the fingerprint of an entry with forgotten parts; None if its opening is wrong."""
        if self.opening is None:
            return None
        _, kept, gone = self.opening
        names, digests = [name for name, _ in self.parts], dict(self.parts)
        leaves = {name: bytes.fromhex(gone[name]) for name in gone if digests.get(name) == GONE}
        for name in kept.keys() & digests:
            leaves[name] = _leaf(bytes.fromhex(kept[name]), digests[name])
        # Each part is either kept or gone. One that is gone has no value any more.
        is_whole = sorted([*kept, *gone]) == sorted(names) == sorted(leaves)
        return self._combine([leaves[name] for name in names]) if is_whole else None

    def without(self, names: Collection[str], salt: bytes, by: int) -> Opening:
        """Return the opening for the time after some more parts are forgotten."""
        salts = {name: _salt(salt, name).hex() for name, _ in self.parts}
        ids, kept, gone = self.opening or Opening([], salts, {})
        some, digests = kept.keys() & names, dict(self.parts)
        lost = {name: _leaf(bytes.fromhex(kept[name]), digests[name]).hex() for name in some}
        left = {name: kept[name] for name in kept if name not in lost}
        return Opening([*ids, by], left, gone | lost)

    def is_lawful(self, label: str, said: Mapping[int, Statement]) -> bool:
        """Whether entries of the action ``forget`` list the entry, and each part that it lacks."""
        by, _, gone = self.opening or Opening([], {}, {})
        listed = set[str]()
        for one in (said.get(key, NOTHING) for key in by):
            if self.key not in one.object | one.actor:
                return False
            if self.key in one.object:
                listed |= {".object_repr", *one.fields.get(label, ())}
            if self.key in one.actor:
                listed.add(".actor_name")
        return bool(gone) and gone.keys() <= listed

    def _combine(self, leaves: list[bytes]) -> bytes:
        head = json.dumps([self.fixed, [name for name, _ in self.parts]])
        return hashlib.sha256(head.encode() + b"".join(leaves)).digest()[:16]


def read(entries: QuerySet[Entry]) -> list[Row]:
    """Read the hashes that the fingerprints of some entries are made of."""
    columns = COLUMNS[connections[entries.db].vendor]
    found = entries.order_by("pk").values_list("pk", *(RawSQL(sql, []) for sql in columns))  # noqa: S611
    return [_row(*values) for values in found]


def pieces(using: str, after: int, until: int) -> Iterator[list[Row]]:
    """Read the entries after one id and up to another, some at a time."""
    entries = Entry.objects.using(using).filter(pk__lte=until).order_by("pk")
    while after < until:
        first = entries.filter(pk__gt=after).aggregate(first=Min("pk"))["first"]
        if first is None:
            return
        # A range of ids: without statistics PostgreSQL sorts the whole table to read 1,000 rows.
        after = first + BATCH - 1
        if rows := read(entries.filter(pk__range=(first, after))):
            yield rows


def statements(using: str, **only: Any) -> Iterator[tuple[int, Statement]]:
    """Return the statements of entries with the action ``forget``, and the ids of these entries."""
    entries = Entry.objects.using(using).filter(action=Entry.Action.FORGET, **only)
    text = RawSQL(WHOLE[connections[using].vendor], [])  # noqa: S611
    for key, digits in entries.order_by("pk").values_list("pk", text).iterator(chunk_size=10):
        yield key, statement(_json(digits))


def statement(changes: Any) -> Statement:
    """Read a statement; it is empty if the module did not write it."""
    try:
        said = changes[MODEL]
        fields = {label: {*names} for label, names in said["fields"].items()}
        about, by = ({*map(int, said[what])} for what in ("object", "actor"))
        return Statement(str(said["reason"]), about, by, fields)
    except (AttributeError, LookupError, TypeError, ValueError):
        return NOTHING


def _row(key: int, fixed: str, *rest: str | None) -> Row:
    *names, members, digits = rest
    parts = [(f".{name}", digest or "") for name, digest in zip(NAMES, names, strict=True)]
    for member in sorted(members.split(",")) if members else ():
        name, digest = member.split(":")
        parts.append((bytes.fromhex(name).decode(errors="replace"), digest))
    return Row(key, fixed, parts, bool(digits), _opening(digits) if digits else None)


def _json(digits: str) -> Any:
    """Return JSON from the hexadecimal digits of its text; None if it is not JSON."""
    try:
        return json.loads(bytes.fromhex(digits))
    except ValueError:
        return None


def _opening(digits: str) -> Opening | None:
    """Read an opening; None if it is one that the module did not write."""
    try:
        by, kept, gone = opening = Opening(**_json(digits))
        # Two spellings of a hash, or of the list, would have the same fingerprint.
        is_right = sorted({*by}) == by and {*map(type, by)} <= {int}
        hashes = (*kept.values(), *gone.values())
        return opening if is_right and all(map(DIGITS.fullmatch, hashes)) else None
    except (TypeError, AttributeError):
        return None


def _salt(salt: bytes, name: str) -> bytes:
    return hashlib.sha256(salt + name.encode()).digest()[:16]


def _leaf(salt: bytes, digest: str) -> bytes:
    return hashlib.sha256(salt + digest.encode()).digest()[:16]
