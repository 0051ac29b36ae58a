"""A list of tamperings: the triggers refuse them, and past the triggers ``verify`` finds them."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
from django.db import DatabaseError, connection, transaction

from apps.audit import fingerprints, seals, triggers
from apps.audit.capture import PREFIX
from apps.audit.models import Entry, Seal
from apps.core.actor import acting_as

from ..examples.models import Author
from ..test_seals import found, said, small_batches

pytestmark = pytest.mark.django_db

OPENING: Final = "(forgotten)"
MARK: Final = {"forgotten": True}


class Trail:
    """A sealed trail of a person who is forgotten, and ways to change it."""

    def __init__(self, grace: Any, admin: Any) -> None:
        with acting_as(grace):
            for number in range(5):
                Author.objects.create(name=f"Author {number}")
        self.plain, self.other = Entry.objects.filter(model_label=Author._meta.label)[1:3]
        key, grace.first_name = str(grace.pk), "Zora"
        grace.save()
        with acting_as(admin):
            Author.objects.create(name="Kept")
            grace.delete()
        self.kept = Entry.objects.get(object_repr="Kept")
        with acting_as(admin):
            said("forget", "accounts.User", key, "--reason=She asked")
        self.statement = Entry.objects.get(action="forget")
        list(seals.seal("default"))
        for number in range(2):
            Author.objects.create(name=f"Later {number}")
        list(seals.seal("default"))
        last = Seal.objects.order_by("number").last()
        assert last is not None
        self.noted = (last.number, last.digest)
        about = Entry.objects.filter(pk__in=self.statement.changes[""]["object"]).order_by("pk")
        self.created, self.changed, self.deleted = about.filter(model_label="accounts.User")

    def run(self, statement: str, *parameters: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    def put(self, entry: Entry, column: str, value: Any) -> None:
        self.run(f"UPDATE audit_entry SET {column} = %s WHERE id = %s", value, entry.pk)  # noqa: S608

    def edit(self, entry: Entry, change: Callable[[Any], Any]) -> None:
        """Change the JSON of an entry."""
        changes = json.loads(json.dumps(Entry.objects.get(pk=entry.pk).changes))
        self.put(entry, "changes", json.dumps(change(changes) or changes))

    def opening(self, entry: Entry, change: Callable[[Any], Any]) -> None:
        """Change what an entry keeps for its forgotten parts."""
        self.edit(entry, lambda c: c | {OPENING: change(c[OPENING]) or c[OPENING]})

    def link_of(self, entry: Entry) -> Seal:
        link = Seal.objects.filter(until__gte=entry.pk).order_by("number").first()
        assert link is not None
        return link

    def salt(self, entry: Entry, change: Callable[[bytes], bytes]) -> None:
        """Change the salt of an entry in its seal."""
        link = self.link_of(entry)
        held = {key: salt for key, (_, salt) in seals.contents(link).items()}
        held[entry.pk] = change(held[entry.pk])
        self.seal(link, "salts", b"".join(held.values()))

    def seal(self, link: Seal, column: str, value: Any) -> None:
        self.run(f"UPDATE audit_seal SET {column} = %s WHERE number = %s", value, link.number)  # noqa: S608

    def remake(self, first: int) -> None:
        """Make all links from one on again, as fits the entries."""
        self.run("DELETE FROM audit_seal WHERE number >= %s", first)
        list(seals.seal("default"))

    def blank(self, entry: Entry, *names: str, by: int | None = None, wipe: bool = True) -> None:
        """Forget parts of an entry as the module does, with the salt from the seal."""
        (row,) = fingerprints.read(Entry.objects.filter(pk=entry.pk))
        _, salt = seals.contents(self.link_of(entry))[entry.pk]
        opening = row.without(names, salt, by or self.statement.pk)
        marks: dict[str, Any] = {name: MARK for name in names if name[0] != "."}
        marks[OPENING] = opening._asdict()
        self.edit(entry, lambda c: c | marks)
        for name in fingerprints.NAMES:
            if f".{name}" in names:
                self.put(entry, name, OPENING)
        if wipe:
            self.salt(entry, lambda salt: bytes(16))

    def state(self, **said: Any) -> int:
        """Add an entry that says that something was forgotten."""
        changes = {"": {"reason": "x", "fields": {}, "object": [], "actor": []} | said}
        entry = Entry(action="forget", model_label="accounts.User", object_id="1", changes=changes)
        entry.save()
        return entry.pk


@pytest.fixture
def trail(django_user_model: Any, admin_user: Any) -> Trail:
    grace = django_user_model.objects.create_user("grace", "grace@example.com", is_staff=True)
    return Trail(grace, admin_user)


def renamed(mapping: Any, old: str, new: str) -> None:
    mapping[new] = mapping.pop(old)


def swap(trail: Trail) -> None:
    one, other = trail.plain.pk, trail.other.pk
    for old, new in ((one, 0), (other, one), (0, other)):
        trail.run("UPDATE audit_entry SET id = %s WHERE id = %s", new, old)


def rename_forgotten(trail: Trail) -> None:
    def change(changes: Any) -> None:
        renamed(changes, "email", "phone")
        renamed(changes[OPENING]["gone"], "email", "phone")

    trail.edit(trail.created, change)


def drop_forgotten(trail: Trail) -> None:
    def change(changes: Any) -> None:
        del changes["email"], changes[OPENING]["gone"]["email"]

    trail.edit(trail.created, change)


def invent_forgotten(trail: Trail) -> None:
    def change(changes: Any) -> None:
        changes["phone"] = MARK
        changes[OPENING]["gone"]["phone"] = "0" * 32

    trail.edit(trail.created, change)


def swap_leaves(trail: Trail) -> None:
    def change(opening: Any) -> None:
        gone = opening["gone"]
        gone["email"], gone["username"] = gone["username"], gone["email"]

    trail.opening(trail.created, change)


def move_to_gone(trail: Trail) -> None:
    def change(changes: Any) -> None:
        opening = changes[OPENING]
        changes["is_staff"] = MARK
        opening["gone"]["is_staff"] = opening["kept"].pop("is_staff")

    trail.edit(trail.created, change)


def move_to_kept(trail: Trail) -> None:
    def change(opening: Any) -> None:
        opening["kept"]["email"] = opening["gone"].pop("email")

    trail.opening(trail.created, change)


def forge_value(trail: Trail) -> None:
    """Put a value back with a salt that was made up."""

    def change(changes: Any) -> None:
        changes["email"] = {"old": None, "new": "mallory@example.com"}
        changes[OPENING]["gone"].pop("email")
        changes[OPENING]["kept"]["email"] = "0" * 32

    trail.edit(trail.created, change)


def copy_opening(trail: Trail, source: Entry, target: Entry) -> None:
    opening = Entry.objects.get(pk=source.pk).changes[OPENING]
    trail.edit(target, lambda c: c | {OPENING: opening})


def lists(entry: Entry, *names: str) -> dict[str, Any]:
    return {"object": [entry.pk], "fields": {entry.model_label: list(names)}}


def insert(trail: Trail, **values: Any) -> None:
    Entry(**{"object_repr": "Forged", "changes": {}} | values).save(force_insert=True)


def replace(trail: Trail) -> None:
    trail.run("DELETE FROM audit_entry WHERE id = %s", trail.kept.pk)
    insert(trail, pk=trail.kept.pk)


def mark_and_copy(trail: Trail) -> None:
    trail.edit(trail.kept, lambda changes: {"name": MARK})
    copy_opening(trail, trail.created, trail.kept)


def nothing_forgotten(trail: Trail) -> None:
    trail.blank(trail.kept)
    trail.opening(trail.kept, lambda opening: opening.update(by=[]))


def swap_salts(trail: Trail) -> None:
    link = trail.link_of(trail.kept)
    salts = [salt for _, salt in seals.contents(link).values()]
    trail.seal(link, "salts", b"".join([*salts[1:], salts[0]]))


def change_fingerprint(trail: Trail) -> None:
    """Change an entry, and its fingerprint in the seal too."""
    trail.put(trail.plain, "actor_name", "mallory")
    link = trail.link_of(trail.plain)
    (row,) = fingerprints.read(Entry.objects.filter(pk=trail.plain.pk))
    held = seals.contents(link)
    held[row.key] = (row.fingerprint(held[row.key][1]), b"")
    packed = b"".join(fingerprints.LAYOUT.pack(key, one) for key, (one, _) in held.items())
    trail.seal(link, "fingerprints", packed)


def edit_and_remake(trail: Trail, number: int) -> None:
    trail.put(trail.kept, "object_repr", "Forged")
    trail.remake(number)


TAMPERINGS: Final[dict[str, Callable[[Trail], Any]]] = {
    # An entry with no forgotten part.
    "time": lambda t: t.put(t.kept, "created_at", "2020-01-01 00:00:00+00:00"),
    "action": lambda t: t.put(t.kept, "action", "delete"),
    "model": lambda t: t.put(t.kept, "model_label", "accounts.User"),
    "object": lambda t: t.put(t.kept, "object_id", "0"),
    "name of the object": lambda t: t.put(t.kept, "object_repr", "Kep"),
    "actor": lambda t: t.put(t.kept, "actor_id", 0),
    "no actor": lambda t: t.put(t.kept, "actor_id", None),
    "name of the actor": lambda t: t.put(t.kept, "actor_name", "mallory"),
    "source": lambda t: t.put(t.kept, "source", "job"),
    "request": lambda t: t.put(t.kept, "request_id", "1"),
    "value": lambda t: t.edit(t.kept, lambda c: c["name"].update(new="Forged")),
    "type of a value": lambda t: t.edit(t.kept, lambda c: c["name"].update(new=["Kept"])),
    "sides of a value": lambda t: t.edit(t.kept, lambda c: {"name": {"old": "Kept", "new": None}}),
    "value put in": lambda t: t.edit(t.kept, lambda c: c | {"more": {"old": 1, "new": 2}}),
    "empty name put in": lambda t: t.edit(t.kept, lambda c: c | {"": 1}),
    "field renamed": lambda t: t.edit(t.kept, lambda c: renamed(c, "name", "title")),
    "field masked": lambda t: t.edit(t.kept, lambda c: {"name": {"masked": True}}),
    "value taken out": lambda t: t.put(t.kept, "changes", "{}"),
    "list instead of values": lambda t: t.put(t.kept, "changes", "[]"),
    "text instead of values": lambda t: t.put(t.kept, "changes", '"name"'),
    "null instead of values": lambda t: t.put(t.kept, "changes", "null"),
    "id": lambda t: t.put(t.kept, "id", -1),
    "removed": lambda t: t.run("DELETE FROM audit_entry WHERE id = %s", t.kept.pk),
    "all removed": lambda t: t.run("DELETE FROM audit_entry WHERE id > %s", 0),
    "last removed": lambda t: t.run("DELETE FROM audit_entry WHERE id = %s", Entry.objects.latest("id").pk),
    "swapped": swap,
    "put in before": lambda t: insert(t, pk=-1),
    "another one in its place": replace,
    # Forged as forgetting.
    "mark for a value": lambda t: t.edit(t.kept, lambda c: {"name": MARK}),
    "mark for the object": lambda t: t.put(t.kept, "object_repr", OPENING),
    "mark for the actor": lambda t: t.put(t.kept, "actor_name", OPENING),
    "mark and an opening of another": mark_and_copy,
    "opening without a mark": lambda t: copy_opening(t, t.created, t.kept),
    "opening without forgotten parts": lambda t: t.blank(t.kept, by=t.statement.pk),
    "opening without a statement": nothing_forgotten,
    "empty opening": lambda t: t.edit(t.kept, lambda c: c | {OPENING: {}}),
    "null for an opening": lambda t: t.edit(t.kept, lambda c: c | {OPENING: None}),
    "right opening, no statement": lambda t: t.blank(t.kept, "name", by=10**9),
    "right opening, entry as a statement": lambda t: t.blank(t.kept, "name", by=t.plain.pk),
    "right opening, statement of others": lambda t: t.blank(t.kept, "name"),
    "right opening, other field": lambda t: t.blank(t.kept, "name", by=t.state(**lists(t.kept, "title"))),
    "right opening, other model": lambda t: t.blank(
        t.kept, "name", by=t.state(object=[t.kept.pk], fields={"accounts.User": ["name"]})
    ),
    "right opening, no fields": lambda t: t.blank(t.kept, "name", by=t.state(object=[t.kept.pk], fields=None)),
    "right opening, no reason": lambda t: t.blank(
        t.kept, "name", by=t.state(**lists(t.kept, "name"), reason=""), wipe=False
    ),
    "right opening, no lists": lambda t: t.blank(t.kept, "name", by=t.state(object=None, actor=None)),
    "right opening, other part": lambda t: t.blank(
        t.kept, ".object_repr", by=t.state(actor=[t.kept.pk])
    ),
    "right opening, other name": lambda t: t.blank(
        t.kept, ".actor_name", by=t.state(**lists(t.kept, "actor_name"))
    ),
    "forgotten, but the salt was kept": lambda t: t.blank(
        t.kept, "name", by=t.state(**lists(t.kept, "name")), wipe=False
    ),
    "statement without marks": lambda t: t.state(**lists(t.kept, "name")),
    "statement without marks for an actor": lambda t: t.state(actor=[t.kept.pk]),
    "second statement for what one has done": lambda t: t.state(**lists(t.created, "email")),
    # An entry that was forgotten.
    "value of a forgotten entry": lambda t: t.edit(t.created, lambda c: c["is_staff"].update(new=False)),
    "column of a forgotten entry": lambda t: t.put(t.created, "request_id", "1"),
    "action of a forgotten entry": lambda t: t.put(t.deleted, "action", "update"),
    "forgotten entry removed": lambda t: t.run("DELETE FROM audit_entry WHERE id = %s", t.created.pk),
    "value for a mark": lambda t: t.edit(t.created, lambda c: c | {"email": {"old": None, "new": "x"}}),
    "value for a mark, with a salt": forge_value,
    "name for a mark": lambda t: t.put(t.created, "object_repr", "mallory"),
    "no name for a mark": lambda t: t.put(t.created, "object_repr", ""),
    "actor for a mark": lambda t: t.put(t.plain, "actor_name", "mallory"),
    "one mark more": lambda t: t.edit(t.created, lambda c: c | {"is_staff": MARK}),
    "one mark more, with its salt as a leaf": move_to_gone,
    "leaf as a salt": move_to_kept,
    "opening removed": lambda t: t.edit(t.created, lambda c: c.pop(OPENING) and None),
    "leaf changed": lambda t: t.opening(t.created, lambda o: o["gone"].update(email="0" * 32)),
    "leaf shortened": lambda t: t.opening(t.created, lambda o: o["gone"].update(email="00")),
    "leaf removed": lambda t: t.opening(t.created, lambda o: o["gone"].pop("email") and None),
    "leaves swapped": swap_leaves,
    "salt in the opening changed": lambda t: t.opening(t.created, lambda o: o["kept"].update(is_staff="0" * 32)),
    "salt in the opening removed": lambda t: t.opening(t.created, lambda o: o["kept"].pop("is_staff") and None),
    "salt in the opening put in": lambda t: t.opening(t.created, lambda o: o["kept"].update(more="0" * 32)),
    "opening of another entry": lambda t: copy_opening(t, t.changed, t.created),
    "opening as a list": lambda t: t.opening(t.created, lambda o: [1]),
    "opening with more in it": lambda t: t.opening(t.created, lambda o: o.update(note="x")),
    "opening names no statement": lambda t: t.opening(t.created, lambda o: o.update(by=[])),
    "opening names another statement": lambda t: t.opening(t.created, lambda o: o.update(by=[t.kept.pk])),
    "opening names one more": lambda t: t.opening(t.created, lambda o: o["by"].append(10**9)),
    "opening names one twice": lambda t: t.opening(t.created, lambda o: o.update(by=o["by"] * 2)),
    "opening names a text": lambda t: t.opening(t.created, lambda o: o.update(by=["x"])),
    "forgotten field renamed": rename_forgotten,
    "forgotten field taken out": drop_forgotten,
    "forgotten field made up": invent_forgotten,
    # The entry that says so.
    "reason": lambda t: t.edit(t.statement, lambda c: c[""].update(reason="A court")),
    "who forgot": lambda t: t.put(t.statement, "actor_name", "mallory"),
    "when": lambda t: t.put(t.statement, "created_at", "2020-01-01 00:00:00+00:00"),
    "one fewer": lambda t: t.edit(t.statement, lambda c: c[""]["object"].pop() and None),
    "one more": lambda t: t.edit(t.statement, lambda c: c[""]["object"].append(t.kept.pk)),
    "one more field": lambda t: t.edit(t.statement, lambda c: c[""]["fields"].update(x=["y"])),
    "no statement": lambda t: t.run("DELETE FROM audit_entry WHERE id = %s", t.statement.pk),
    "another action": lambda t: t.put(t.statement, "action", "update"),
    "statement in other words": lambda t: t.put(t.statement, "changes", '{"": []}'),
    "statement that is no object": lambda t: t.put(t.statement, "changes", "5"),
    # Seals.
    "salt changed": lambda t: t.salt(t.kept, lambda salt: salt[1:] + salt[:1]),
    "salt wiped": lambda t: t.salt(t.kept, lambda salt: bytes(16)),
    "salt made up": lambda t: t.salt(t.created, lambda salt: b"x" * 16),
    "salt longer": lambda t: t.salt(t.kept, lambda salt: salt + b"x"),
    "salts swapped": swap_salts,
    "no salts": lambda t: t.seal(t.link_of(t.kept), "salts", b""),
    "fingerprint": change_fingerprint,
    "no fingerprints": lambda t: t.seal(t.link_of(t.kept), "fingerprints", b""),
    "digest": lambda t: t.seal(t.link_of(t.kept), "digest", "0" * 64),
    "count": lambda t: t.seal(t.link_of(t.kept), "count", 1),
    "until": lambda t: t.seal(t.link_of(t.kept), "until", 2**62),
    "kind": lambda t: t.seal(t.link_of(t.kept), "kind", "pruning"),
    "number": lambda t: t.seal(t.link_of(t.kept), "number", 10**6),
    "seal removed": lambda t: t.run("DELETE FROM audit_seal WHERE number = %s", t.link_of(t.kept).number),
    "chain made again": lambda t: edit_and_remake(t, 1),
    "end of the chain made again": lambda t: edit_and_remake(t, t.link_of(t.kept).number),
    "triggers removed": lambda t: triggers.Triggers(connection, triggers.KEPT).drop(),
    "one trigger removed": lambda t: triggers.Triggers(connection, triggers.KEPT)._run(
        [triggers.Triggers(connection, triggers.KEPT).capture.removal(f"{PREFIX}keep_update_audit_entry")]
    ),
}  # fmt: skip
# Tamperings that the triggers do not refuse. A role that may add entries and change salts can do these.
ALLOWED: Final = {
    "put in before", "statement without marks", "statement without marks for an actor",
    "second statement for what one has done", "salt changed", "salt wiped", "salt made up",
    "salts swapped", "forgotten, but the salt was kept", "triggers removed", "one trigger removed",
}  # fmt: skip


def is_refused(trail: Trail, tamper: Callable[[Trail], Any]) -> bool:
    """Try a tampering with the triggers in place; take it back."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                tamper(trail)
        except DatabaseError:
            return True
        finally:
            transaction.set_rollback(True)
    return False


def is_found(trail: Trail, tamper: Callable[[Trail], Any]) -> bool:
    """Do it past the triggers, as the owner of the tables can; take it back."""
    with transaction.atomic():
        try:
            with triggers.without_protection(connection):
                tamper(trail)
                changed = found(noted=trail.noted)
            return any(kind != "triggers" for kind, _ in changed)
        finally:
            transaction.set_rollback(True)


def test_each_tampering_is_refused_and_found(
    trail: Trail, small_batches: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(noted=trail.noted) == []
    refused = {name for name, tamper in TAMPERINGS.items() if is_refused(trail, tamper)}
    assert TAMPERINGS.keys() - refused == ALLOWED
    missed = {name for name, tamper in TAMPERINGS.items() if not is_found(trail, tamper)}
    assert missed == {"triggers removed", "one trigger removed"}
    for name in sorted(missed):
        with transaction.atomic():
            TAMPERINGS[name](trail)
            assert {kind for kind, _ in found()} == {"triggers"}
            transaction.set_rollback(True)
    assert found(noted=trail.noted) == []
    with capsys.disabled():
        counts = f"{len(TAMPERINGS)} tamperings: {len(refused)} refused, all of them found."
        sys.stdout.write(f"\n{counts}\n")


def test_a_forgetting_that_follows_all_rules_is_shown(trail: Trail) -> None:
    # A role that may add entries and change values can forget any value, and leaves a statement.
    with triggers.without_protection(connection):
        trail.blank(trail.kept, "name", by=trail.state(**lists(trail.kept, "name")))
    assert found(noted=trail.noted) == []
    assert "Values of 1 entry about accounts.User 1 were forgotten on" in said("verify")
