"""Whose entries are found, in which databases, and how forgetting ends when something is wrong."""

# Fixtures of the contract tests are imported, and named again by the tests that use them.
# ruff: noqa: F401, F811

import json
import re
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import CommandError
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.models import Model
from django.utils import timezone

from apps.audit import forgetting, seals, triggers
from apps.audit.forgetting import CannotForgetError, Person
from apps.audit.models import Entry, Seal
from apps.audit.restore import restore, state_after, state_at
from apps.core import modules
from apps.core.actor import acting_as

from ..conftest import register, restored
from ..examples.models import Article, Author, Tag
from ..test_append_only import execute
from ..test_forgetting import forget, grace
from ..test_seals import force, found, said, small_batches
from .models import Hotel, Note, Place
from .tables import Passport

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]
MARK = {"forgotten": True}
FORGOTTEN = "(forgotten)"


def forget_object(instance: Model, key: Any = None) -> str:
    label = instance._meta.label
    return said("forget", label, str(instance.pk if key is None else key), "--reason=She asked")


def marked(model: type[Model]) -> list[list[str]]:
    """Return which fields are forgotten in the entries of a model, the oldest first."""
    entries = Entry.objects.filter(model_label=model._meta.label).exclude(action="forget")
    changes = entries.order_by("pk").values_list("changes", flat=True)
    return [sorted(name for name in each if each[name] == MARK) for each in changes]


def test_what_belongs_to_a_person_is_forgotten_also_if_it_did_so_before() -> None:
    register(Author, personal=["name"])
    register(Article, personal=["title", "body", "tags"])
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    now, before = (Article.objects.create(title="x", author=ada) for _ in range(2))
    before.author = bob
    before.save()
    gone = Article.objects.create(title="x", author=ada)
    gone.tags.add(Tag.objects.create(slug="a"))
    gone.delete()
    Article.objects.create(title="x", author=bob)
    Article.objects.create(title="x")
    assert f"still has audit_examples.Author {ada.pk}" in forget_object(ada)
    fields = ["body", "title"]
    assert marked(Author) == [["name"], []]
    entries = Entry.objects.filter(model_label=Article._meta.label, object_repr=FORGOTTEN)
    assert {entry.object_id for entry in entries} == {
        str(now.pk),
        str(before.pk),
        str(int(now.pk) + 2),
    }
    assert [each for each in marked(Article) if each] == [
        fields,
        fields,
        fields,
        ["tags"],
        ["tags"],
        fields,
    ]
    assert found() == []


@pytest.mark.parametrize(
    ("model", "values", "field"),
    [
        (Note, {"text": "Call Ada", "article_id": None}, "text"),
        (Tag, {"slug": "ada"}, "slug"),
    ],
)
def test_keys_of_any_type(model: Any, values: dict[str, Any], field: str) -> None:
    register(Note, personal=["text"])
    register(Tag, personal=["slug"])
    if model is Note:
        values = values | {"article_id": Article.objects.create(title="x").pk}
    instance = model.objects.create(**values)
    forget_object(instance)
    (entry,) = Entry.objects.of(instance).exclude(action="forget")
    # The key of an object remains, also where it is a name.
    assert entry.changes.get(field, MARK) == MARK
    assert found() == []


def test_parents_and_children_are_the_same_person() -> None:
    register(Hotel, personal=["name", "beds"])
    hotel = Hotel.objects.create(name="Ritz", beds=3)
    forget_object(Place(pk=hotel.pk))
    assert (marked(Place), marked(Hotel)) == ([["name"]], [["beds"]])
    assert set(Entry.objects.of(hotel).values_list("object_repr", flat=True)) == {FORGOTTEN, ""}


def test_former_names_of_models_and_fields_are_known() -> None:
    register(Author, personal=["name"])
    changes = {"called": {"old": None, "new": "Ada"}, "name": {"old": None, "new": "kept"}}
    Entry(
        action="create", model_label="old.Writer", object_id="7", object_repr="Ada", changes=changes
    ).save()
    label = Author._meta.label
    for renaming in ({"name": {"renamed": "called"}}, {"": {"renamed": "old.Writer"}}):
        Entry(
            action="rename",
            model_label="old.Writer" if "name" in renaming else label,
            changes=renaming,
        ).save()
    forget_object(Author(pk=7))
    entry = Entry.objects.get(object_id="7", action="create")
    assert (entry.object_repr, entry.changes["called"]) == (FORGOTTEN, MARK)
    assert entry.changes["name"] == changes["name"]
    assert found() == []


def test_a_field_that_was_removed_can_be_personal(monkeypatch: pytest.MonkeyPatch) -> None:
    config = next(iter(modules.module_configs()))
    monkeypatch.setattr(type(config), "personal", {Author._meta.label: ["name", "phone"]})
    register(Author)
    changes = {"phone": {"old": None, "new": "123"}, "more": {"old": None, "new": 1}}
    Entry(action="update", model_label=Author._meta.label, object_id="7", changes=changes).save()
    forget_object(Author(pk=7))
    assert marked(Author) == [["phone"]]


def test_failed_logins_and_impersonation(grace: Any, django_user_model: Any) -> None:
    other = django_user_model.objects.create_user("ada")
    address = {"address": {"old": None, "new": "192.0.2.1"}}
    label = "accounts.User"
    for name in ("GRACE", "grace@example.com", "gracie"):
        Entry(action="failed", model_label=label, object_repr=name, changes=address).save()
    login = Entry(action="login", model_label=label, object_id=str(grace.pk), changes=address)
    login.save()
    Entry(actor=other, actor_name="ada (by grace)").save()
    Entry(actor_id=grace.pk, actor_name="grace (by ada)").save()
    forget(grace.pk)
    failed = Entry.objects.filter(action="failed").order_by("pk")
    assert [entry.object_repr for entry in failed] == [FORGOTTEN, FORGOTTEN, "gracie"]
    assert [entry.changes["address"] for entry in failed] == [MARK, MARK, address["address"]]
    assert Entry.objects.get(pk=login.pk).changes["address"] == MARK
    assert not Entry.objects.filter(actor_name__contains="grace").exists()
    assert found() == []


def test_an_entry_can_be_forgotten_for_two_people(grace: Any, django_user_model: Any) -> None:
    ada = django_user_model.objects.create_user("ada")
    with acting_as(ada):
        django_user_model.objects.create_user("bob").delete()
    bob = Entry.objects.filter(object_repr="bob", action="create").get()
    for key in (bob.object_id, ada.pk):
        forget(key)
        assert found() == []
    entry = Entry.objects.get(pk=bob.pk)
    assert (entry.object_repr, entry.actor_name, entry.actor_id) == (FORGOTTEN, FORGOTTEN, ada.pk)
    assert len(entry.changes[FORGOTTEN]["by"]) == 2
    assert "password" in entry.changes
    force("UPDATE audit_entry SET actor_name = 'ada' WHERE id = %s", entry.pk)
    assert found() == [("changed", (entry.pk,))]


def test_new_entries_are_forgotten_by_the_next_run(django_user_model: Any) -> None:
    grace = django_user_model.objects.create_user("grace")
    assert "still has accounts.User" in forget(grace.pk)
    grace.first_name = "Zora"
    grace.save()
    assert Entry.objects.of(grace)[0].changes["first_name"]["new"] == "Zora"
    assert "Forgot values in 1 entry" in forget(grace.pk)
    assert Entry.objects.of(grace)[1].changes["first_name"] == MARK
    assert Entry.objects.filter(action="forget").count() == 2
    assert found() == []


def test_people_who_forget_themselves_leave_no_name(django_user_model: Any) -> None:
    grace = django_user_model.objects.create_user("grace")
    with acting_as(grace):
        forget(grace.pk)
    statement = Entry.objects.get(action="forget")
    assert (statement.actor_id, statement.actor_name) == (grace.pk, FORGOTTEN)
    assert "grace" not in str(
        list(Entry.objects.values_list("actor_name", "object_repr", "changes"))
    )


def test_who_has_forgotten_another_can_be_forgotten(grace: Any, admin_user: Any) -> None:
    with acting_as(admin_user):
        forget(grace.pk)
    forget(admin_user.pk)
    statement = Entry.objects.filter(action="forget").earliest("pk")
    assert (statement.actor_name, statement.changes[""]["reason"]) == (FORGOTTEN, "She asked")
    assert found() == []


def test_many_entries_take_several_statements(
    grace: Any, monkeypatch: pytest.MonkeyPatch, small_batches: None
) -> None:
    monkeypatch.setattr(forgetting, "BATCH", 2)
    with acting_as(grace):
        for number in range(5):
            Author.objects.create(name=str(number))
    forget(grace.pk)
    sizes = [
        len({*said["object"], *said["actor"]})
        for said in (entry.changes[""] for entry in Entry.objects.filter(action="forget"))
    ]
    assert max(sizes) == 2
    assert len(sizes) > 3
    assert found() == []
    list(seals.seal("default"))
    assert found() == []


def test_a_change_before_the_forgetting_is_still_found(grace: Any) -> None:
    one, other = Entry.objects.of(grace)[:2]
    force("UPDATE audit_entry SET object_repr = 'mallory' WHERE id = %s", one.pk)
    force("DELETE FROM audit_entry WHERE id = %s", other.pk)
    Entry(pk=-7, actor_id=grace.pk, actor_name="grace").save()
    forget(grace.pk)
    assert sorted(found()) == [
        ("changed", (one.pk,)),
        ("inserted", (-7,)),
        ("removed", (other.pk,)),
    ]


def test_the_salts_of_forgotten_values_are_gone(grace: Any) -> None:
    before = {
        key: salt for link in Seal.objects.all() for key, (_, salt) in seals.contents(link).items()
    }
    forget(grace.pk)
    statement = Entry.objects.get(action="forget")
    listed = {*statement.changes[""]["object"], *statement.changes[""]["actor"]}
    after = {
        key: salt for link in Seal.objects.all() for key, (_, salt) in seals.contents(link).items()
    }
    assert {key for key in after if not any(after[key])} == listed
    assert all(any(salt) for salt in before.values())
    assert all(after[key] == before[key] for key in before.keys() - listed)


def test_a_trail_can_be_sealed_again(grace: Any) -> None:
    forget(grace.pk)
    force("DELETE FROM audit_seal")
    list(seals.seal("default"))
    assert found() == []
    entry = Entry.objects.of(grace)[1]
    force("UPDATE audit_entry SET object_repr = 'grace' WHERE id = %s", entry.pk)
    assert found() == [("changed", (entry.pk,))]


@pytest.mark.parametrize("by", [[], [999]])
def test_an_entry_that_was_added_as_forgotten_is_found(grace: Any, by: list[int]) -> None:
    hashes = {
        "kept": {".object_repr": "0" * 32, ".actor_name": "0" * 32},
        "gone": {"name": "0" * 32},
    }
    changes = {"name": MARK, FORGOTTEN: {"by": by} | hashes}
    entry = Entry(object_repr="Forged", changes=changes)
    entry.save()
    list(seals.seal("default"))
    assert found() == [("changed", (entry.pk,))]


def test_retention_goes_on(grace: Any) -> None:
    forget(grace.pk)
    seals.prune(seals.older_than(timezone.now(), using="default"))
    assert not Entry.objects.exists()
    assert found() == []


def test_forgotten_values_are_unknown_states(django_user_model: Any) -> None:
    register(Author, personal=["name"])
    register(Article, personal=["title", "tags"])
    author = Author.objects.create(name="Ada")
    article = Article.objects.create(title="One", body="x", author=author)
    article.tags.add(Tag.objects.create(slug="a"))
    then = Entry.objects.of(article)[0]
    article.title, article.body = "Two", "y"
    article.save()
    article.tags.clear()
    forget_object(author)
    state = state_after(Entry.objects.get(pk=then.pk))
    assert {"title", "tags"} <= state.unknown
    assert state.values["body"] == "x"
    instance, others = restore(state)
    assert (getattr(instance, "title"), getattr(instance, "body")) == ("Two", "x")  # noqa: B009
    assert {"title", "tags"} <= others
    assert "name" in state_at(Author, author.pk, timezone.now()).values


class Reading:
    """A module that keeps something about users, and whose rows are audited."""

    personal: dict[str, Any] = {}

    def forget(self, user_pk: Any, using: str) -> int:
        found = Author.objects.using(using).filter(name=f"Note on {user_pk}")
        return int(found.update(name=""))


def test_what_other_modules_keep_is_forgotten_too(
    grace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(Author, personal=["name"])
    Author.objects.create(name=f"Note on {grace.pk}")
    monkeypatch.setattr(modules, "module_configs", lambda: [Reading()])
    assert "and 1 other row(s)" in forget(grace.pk)
    assert not Author.objects.filter(name__startswith="Note").exists()
    statement, last = Entry.objects.get(action="forget"), Entry.objects.latest("pk")
    # Its entry came first, so it is sealed, and would be forgotten if it was about the person.
    assert last == statement
    assert seals.covered("default") == statement.pk - 1


@pytest.fixture
def people(grace: Any, other_database: str, django_user_model: Any) -> Any:
    """Put the same person into another database."""
    triggers.install(connections[other_database])
    django_user_model.objects.using(other_database).create(pk=grace.pk, username="grace")
    return grace


def test_each_database_is_asked(people: Any, other_database: str) -> None:
    told = forget(people.pk)
    assert "entries of 'default'" in told
    assert re.search(r"[1-9] entr(y|ies)\b.* of 'other'", told)
    assert f"The table in 'other' still has accounts.User {people.pk}" in told
    for alias in ("default", other_database):
        assert not Entry.objects.using(alias).filter(object_repr="grace").exists()
        assert list(seals.verify(alias)) == []


def test_a_name_is_forgotten_in_a_database_that_does_not_know_the_person(
    grace: Any, other_database: str
) -> None:
    triggers.install(connections[other_database])
    for values in (
        {"actor_name": "ada (by grace)"},
        {"action": "failed", "model_label": "accounts.User", "object_repr": "Grace@example.com"},
    ):
        Entry(**values).save(using=other_database)
    forget(grace.pk)
    entries = Entry.objects.using(other_database).exclude(action="forget").order_by("pk")
    assert [*entries.values_list("actor_name", "object_repr")] == [(FORGOTTEN, ""), ("", FORGOTTEN)]
    assert list(seals.verify(other_database)) == []


def test_one_database_can_be_chosen(people: Any, other_database: str) -> None:
    forget(people.pk, "--database=other")
    assert Entry.objects.filter(object_repr="grace").exists()
    assert not Entry.objects.using(other_database).filter(object_repr="grace").exists()


def test_a_database_that_is_away_stops_it_at_once(
    admin_client: Any, people: Any, other_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("connection refused\n")

    before = Entry.objects.count()
    with monkeypatch.context() as patched:
        patched.setattr(connections[other_database], "cursor", fail)
        with pytest.raises(
            CommandError, match=r"'other' has failed \(connection refused\): nothing"
        ):
            forget(people.pk)
        page = f"/admin/audit/entry/forget/accounts.User/{people.pk}/"
        told = admin_client.post(page, {"reason": "She asked."}, follow=True).text
    assert "A database with a trail has failed, so nothing was done." in told
    assert Entry.objects.count() == before
    assert Entry.objects.filter(object_repr="grace").exists()


def test_a_database_that_fails_half_way_is_named_and_can_be_run_again(
    people: Any, other_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = forgetting._replace
    with monkeypatch.context() as patched:

        def replace(using: str, *arguments: Any) -> None:
            if using == other_database:
                raise OperationalError("server closed the connection")
            real(using, *arguments)

        patched.setattr(forgetting, "_replace", replace)
        with pytest.raises(CommandError, match="it was forgotten in default; run it again"):
            forget(people.pk)
    others = Entry.objects.using(other_database)
    assert not others.filter(action="forget").exists()
    assert not Seal.objects.using(other_database).exists()
    assert others.filter(object_repr="grace").exists()
    assert re.search(r"[1-9] entr(y|ies)\b.* of 'other'", forget(people.pk))
    assert not others.filter(object_repr="grace").exists()
    assert list(seals.verify(other_database)) == []


def test_a_trail_that_is_busy_is_named(grace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(using: str) -> int:
        raise seals.BusyError("1 transaction(s) have not ended")

    monkeypatch.setattr(seals, "last_complete_id", fail)
    with pytest.raises(CommandError, match=r"'default' has failed .1 transaction"):
        forget(grace.pk)
    assert not Entry.objects.filter(action="forget").exists()


@pytest.mark.parametrize("key", ["x", "", "1.5", "99999999999999999999", "\x00", "-1"])
def test_an_object_that_never_was(key: str) -> None:
    with pytest.raises(CommandError, match="neither in its table nor on the trail"):
        forget(key)
    assert not Entry.objects.filter(action="forget").exists()


@pytest.mark.parametrize("label", ["", "accounts", "accounts.Usr", "x.y.z"])
def test_a_model_that_is_unknown(label: str) -> None:
    with pytest.raises(CommandError, match="There is no model"):
        said("forget", label, "1", "--reason=x")
    with pytest.raises(CommandError, match="There is no model"):
        said("export", "--subject", label, "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("accounts.User", "1", "--reason= "), "The reason is empty"),
        (("accounts.Usr", "1", "--reason=x"), "There is no model 'accounts.Usr'"),
        (("audit_examples.Author", "1", "--reason=x"), "has no personal fields"),
    ],
)
def test_what_cannot_be_forgotten_is_said(arguments: Any, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        said("forget", *arguments)


def test_a_reason_is_needed(grace: Any) -> None:
    with pytest.raises(CommandError, match="--reason"):
        said("forget", "accounts.User", str(grace.pk))
    said("forget", "accounts.User", str(grace.pk), "--reason= a\x00\x1b[2Jb ")
    assert Entry.objects.get(action="forget").changes[""]["reason"] == "a\\u0000\\u001b[2Jb"


def test_someone_without_entries_has_nothing_to_export(grace: Any) -> None:
    with pytest.raises(CommandError, match="neither in its table nor"):
        said("export", "--subject", "accounts.User", "0")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no roles")
def test_a_role_that_owns_nothing_can_forget(grace: Any) -> None:
    columns = "UPDATE (object_repr, actor_name, changes)"
    with connection.cursor() as cursor:
        for statement in (
            "CREATE ROLE audit_forgetter",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO audit_forgetter",
            f"GRANT SELECT, INSERT, {columns} ON audit_entry TO audit_forgetter",
            "GRANT SELECT, INSERT, UPDATE (salts) ON audit_seal TO audit_forgetter",
            "GRANT SELECT ON SEQUENCE audit_entry_id_seq TO audit_forgetter",
            "SET LOCAL ROLE audit_forgetter",
        ):
            cursor.execute(statement)
        Person("accounts.User", str(grace.pk), "default").find()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(modules, "module_configs", list)
            assert "Forgot values in" in forget(grace.pk)
        assert found() == []
        cursor.execute("RESET ROLE")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lets one write at a time")
@pytest.mark.django_db(transaction=True)
def test_two_runs_at_a_time_wait_for_each_other(
    grace: Any, django_user_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, began, errors = forgetting._take_salts, Event(), list[Exception]()

    def take_salts(*arguments: Any) -> Any:
        began.set()
        # The other run is at its lock by then, or would have read the same entries.
        Event().wait(1)
        return real(*arguments)

    def run() -> None:
        try:
            forgetting.forget("accounts.User", str(grace.pk), "Twice")
        except Exception as error:  # noqa: BLE001  the thread of the test reports it
            errors.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(forgetting, "_take_salts", take_salts)
    threads = [Thread(target=run) for _ in range(2)]
    threads[0].start()
    assert began.wait(20)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert Entry.objects.filter(action="forget").count() == 1
    assert found() == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_half_done_when_an_update_is_refused(
    grace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(Entry.objects.values())
    salts = list(Seal.objects.values_list("salts", flat=True))
    monkeypatch.setattr(
        forgetting, "MERGED", dict.fromkeys(forgetting.MERGED, lambda values: ("changes", []))
    )
    with pytest.raises(CommandError, match=r"has failed.*append-only.*nothing was done; run it"):
        forget(grace.pk)
    assert list(Entry.objects.values()) == before
    assert [bytes(one) for one in Seal.objects.values_list("salts", flat=True)] == [
        *map(bytes, salts)
    ]


@pytest.mark.parametrize(
    "change",
    [
        "actor_name = 'nobody'",
        "object_repr = 'somebody'",
        "changes = '{}'",
        "request_id = '(forgotten)'",
        """changes = '{"is_staff": {"forgotten": true}}'""",
    ],
)
def test_nothing_else_can_be_changed(grace: Any, change: str) -> None:
    forget(grace.pk)
    for entry in Entry.objects.of(grace):
        with pytest.raises(IntegrityError, match="append-only"):
            execute(f"UPDATE audit_entry SET {change} WHERE id = %s", entry.pk)  # noqa: S608


def test_a_person_is_forgotten_once(grace: Any) -> None:
    forget(grace.pk)
    with pytest.raises(CommandError, match=r"no accounts\.User 0, neither in its"):
        forget(0)
    count = Entry.objects.count()
    assert f"accounts.User {grace.pk} is already forgotten." in forget(grace.pk)
    assert Entry.objects.count() == count


def test_the_history_leads_to_the_page_for_who_may(
    client: Any, grace: Any, django_user_model: Any
) -> None:
    officer = django_user_model.objects.create_user("officer", is_staff=True)
    officer.user_permissions.add(Permission.objects.get(codename="view_entry"))
    client.force_login(officer)
    history = f"/admin/audit/entry/of/accounts.User/{grace.pk}/"
    page = history.replace("/of/", "/forget/")
    assert page not in client.get(history).text
    assert client.get(page).status_code == client.post(page).status_code == 403
    officer.user_permissions.add(Permission.objects.get(codename="forget_person"))
    assert page in client.get(history).text
    assert "User: Username, First name" in client.get(page).text
    assert "The reason is empty" in client.post(page, {"reason": " "}).text
    shown = client.post(page, {"reason": "She asked"}, follow=True)
    assert shown.redirect_chain == [(history, 302)]
    assert "grace" not in shown.text
    assert Entry.objects.get(action="forget").actor_name == "officer"
    assert client.get("/admin/audit/entry/", {"q": "grace"}).context["cl"].result_list == []


def test_a_person_gets_their_data(grace: Any) -> None:
    lines = said("export", "--subject", "accounts.User", str(grace.pk)).splitlines()
    keys = [json.loads(line)["pk"] for line in lines]
    for entries in (Entry.objects.of(grace), Entry.objects.filter(actor=grace.pk)):
        assert {entry.pk for entry in entries} <= {*keys}
    assert keys == sorted(keys)


def test_an_object_whose_key_leads_to_the_person_belongs_to_the_person() -> None:
    register(Hotel, personal=["beds"])
    register(Passport, personal=["number"])
    there, gone = (Hotel.objects.create(name=name, beds=1) for name in ("Here", "Gone"))
    for hotel in (there, gone):
        Passport.objects.create(holder=hotel, number="X123")
    Passport.objects.get(pk=gone.pk).delete()
    # A parent of the model to which the key leads is the same person.
    for person in (there, Place(pk=gone.pk)):
        forget_object(person)
    assert {*map(tuple, marked(Passport))} == {("number",)}
    assert found() == []


def test_what_leads_to_a_person_by_a_column_that_is_not_recorded_is_forgotten() -> None:
    register(Author, personal=["name"])
    register(Article, personal=["title"], exclude=["author"])
    ada = Author.objects.create(name="Ada")
    Article.objects.create(title="Of Ada", author=ada)
    forget_object(ada)
    assert marked(Article) == [["title"]]


@pytest.mark.parametrize("personal", [["first_name"], None])
def test_logins_are_forgotten_whatever_fields_are_personal(
    django_user_model: Any, personal: Any
) -> None:
    register(django_user_model, personal=personal)
    user = django_user_model.objects.create_user("émile", first_name="Zora")
    address = {"address": {"old": None, "new": "192.0.2.1"}, "failures": {"old": None, "new": 2}}
    values: dict[str, Any] = {"model_label": "accounts.User", "changes": address}
    for name in ("émile", "ÉMILE", "émilé", ""):
        Entry(action="failed", object_repr=name, **values).save()
    Entry(action="login", object_id=str(user.pk), object_repr="émile", **values).save()
    forget(user.pk)
    one, two, *others = Entry.objects.filter(action="failed").order_by("pk")
    assert (one.object_repr, one.changes["address"]) == (FORGOTTEN, MARK)
    # PostgreSQL knows other letters than those of ASCII if its locale does.
    assert connection.vendor == "postgresql" or two.object_repr == FORGOTTEN
    assert [(entry.object_repr, entry.changes) for entry in others] == [
        ("émilé", address),
        ("", address),
    ]
    login = Entry.objects.get(action="login")
    assert (login.changes["address"], login.changes["failures"]) == (MARK, address["failures"])
    assert found() == []


def test_the_log_of_the_admin_forgets_too(
    admin_client: Any, grace: Any, django_user_model: Any
) -> None:
    bob = django_user_model.objects.create_user("bob")
    admin_client.post(f"/admin/accounts/user/{bob.pk}/delete/", {"post": "yes"})
    by = django_user_model.objects.get(username="admin")
    LogEntry.objects.log_actions(by.pk, [Author(pk=bob.pk, name="bobby")], action_flag=2)
    log = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert log[0][0] == "bob"
    assert "and 1 other row(s)" in forget(bob.pk)
    assert [*log] == [(FORGOTTEN, ""), ("bobby", "")]
    assert not Person("accounts.User", str(grace.pk), "default").find().logged
    assert "already forgotten" in forget(bob.pk)


def test_the_log_of_the_admin_writes_keys_in_its_own_way(admin_user: Any) -> None:
    register(Note, personal=["text"])
    note = Note.objects.create(text="Call Ada", article=Article.objects.create(title="x"))
    LogEntry.objects.log_actions(admin_user.pk, [note], action_flag=1)
    forget_object(note)
    assert LogEntry.objects.get().object_repr == FORGOTTEN


def test_a_reason_is_one_line(grace: Any) -> None:
    said("forget", "accounts.User", str(grace.pk), "--reason=She asked.\n\nThe trail is whole.")
    assert "She asked. The trail is whole. (entry" in said("verify")


@pytest.mark.parametrize("length", [501, 10_000])
def test_a_reason_has_an_end(admin_client: Any, grace: Any, length: int) -> None:
    page = f"/admin/audit/entry/forget/accounts.User/{grace.pk}/"
    told = f"The reason has {length:,} characters, but at most 500 stay on the trail"
    assert told in admin_client.post(page, {"reason": "x" * length}).text
    with pytest.raises(CommandError, match=told):
        said("forget", "accounts.User", str(grace.pk), f"--reason={'x' * length}")
    assert not Entry.objects.filter(action="forget").exists()
    said("forget", "accounts.User", str(grace.pk), f"--reason={'x' * 500}")
    assert Entry.objects.filter(action="forget").exists()


def test_a_child_of_the_model_of_users_is_a_user(
    grace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "get_user_model", lambda: Place)
    monkeypatch.setattr(Place, "USERNAME_FIELD", "name", raising=False)
    monkeypatch.setattr(Place, "get_email_field_name", lambda: "name", raising=False)
    assert Person("audit_examples.Hotel", "1", "default").is_user


def test_a_preview_says_that_a_value_was_forgotten(admin_client: Any, grace: Any) -> None:
    deletion = Entry.objects.of(grace)[0]
    forget(grace.pk)
    page = admin_client.get(f"/admin/audit/entry/{deletion.pk}/bring-back/")
    why = dict(page.context["preview"].left_out)
    assert why["Username"].startswith("The trail cannot tell the value: it was forgotten")
