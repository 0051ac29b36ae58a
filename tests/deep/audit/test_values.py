"""Values come back from the trail as they were, whatever their type."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, models
from django.db.models import JSONNull
from django.test.utils import isolate_apps

from apps.audit.models import Entry
from apps.audit.presentation import Page
from apps.audit.restore import restore, state_after
from apps.audit.values import UnreadableError, decode

from ..conftest import register
from ..examples.models import Article, Author, Example
from ..trail import last_change
from .models import Invoice

pytestmark = pytest.mark.django_db


def rounded_when_read(value: Any) -> bool:
    """Whether the database keeps more places than Django then reads of it, and saves."""
    return connection.vendor == "sqlite" and value == Decimal("2.345")


EAST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "Zoë \U0001f642 \"quoted\" 'too' \\ <b>"),
        ("body", ""),
        ("status", Article.Status.PUBLIC),
        ("reads", -(2**30)),
        ("price", Decimal("0.10")),
        ("price", Decimal("-12345678901.00")),
        ("price", Decimal("1E+3")),
        ("price", Decimal("2.345")),
        ("price", 3),
        ("rating", 0.1),
        ("rating", 1e300),
        ("rating", 1.7976931348623157e308),
        ("rating", -5e-324),
        ("rating", 7),
        ("rating", float("inf")),
        ("is_open", True),
        ("is_open", 1),
        ("published_on", date(2024, 2, 29)),
        ("published_at", datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)),
        ("published_at", datetime(2024, 3, 1, 4, 0, tzinfo=EAST)),
        ("opens_at", time(23, 59, 59, 1)),
        ("lasts", timedelta(days=-1, microseconds=1)),
        ("reference", UUID(int=7)),
        ("reference", UUID(int=7).hex),
        ("picture", b"\x00\xff"),
        ("picture", b""),
        ("address", "2001:DB8:0:0::1"),
        ("attachment", "folder/file.txt"),
        ("details", {"list": [1, 2.5, None, True], "text": "é", "deep": {"": {}}}),
        ("details", (1, 2)),
        ("details", {"day": date(2024, 2, 29)}),
        ("details", {"json": {"json": None}}),
        ("details", ["json"]),
        ("details", "json"),
        ("details", "text"),
        ("details", 0),
        ("details", 1e22),
        ("code", "UPPER"),
        ("author_id", "existing"),
    ],
    ids=str,
)
def test_a_value_survives_the_trail(name: str, value: Any) -> None:
    if value == "existing":
        value = Author.objects.create(name="Ada").pk
    article = Article(title="One")
    setattr(article, name, value)
    article.save()
    field: Any = Article._meta.get_field(name)
    stored = getattr(Article.objects.get(), name)
    stored = bytes(stored) if isinstance(stored, memoryview) else stored
    data = Entry.objects.of(article).get().changes[field.name]["new"]
    assert decode(field, data) == stored
    assert type(decode(field, data)) is type(stored) or name == "attachment"
    # The trail records the values of the database: saving them again changes nothing.
    article.save()
    Article.objects.get().save()
    assert Entry.objects.of(article).count() == (2 if rounded_when_read(value) else 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prices", [Decimal("1.10000"), None, Decimal("1234567890123456789012345.12345")]),
        ("prices", []),
        ("moments", [datetime(2024, 1, 1, 12, tzinfo=EAST), None]),
        ("pictures", [b"ab", b"\x00", b""]),
        ("references", [[UUID(int=1)], [UUID(int=2)]]),
        ("details", [{"json": 1}, "text", 1, None]),
        ("totals", [Decimal("12.34"), None]),
        ("periods", [(date(2024, 1, 1), date(2024, 2, 1)), "empty"]),
        ("ages", (1, 5)),
        ("ages", (None, 5)),
        ("ages", (None, None)),
        ("ages", (1, 5, "(]")),
        ("ages", "empty"),
        ("weights", (Decimal("1.50"), Decimal("12345678901234567890.123456789"), "[]")),
        (
            "open_at",
            (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, 1, 2, 3, 4, tzinfo=UTC)),
        ),
        ("open_at", (None, datetime(2024, 1, 1, 12, tzinfo=EAST), "(]")),
        ("days", (date(2024, 1, 1), None)),
    ],
    ids=str,
)
def test_arrays_and_ranges_survive_the_trail(name: str, value: Any) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL has arrays and ranges.")
    from .postgresql import Season

    field: Any = Season._meta.get_field(name)

    def ranges(field: Any, value: Any) -> Any:
        if isinstance(value, list):
            return [ranges(field.base_field, item) for item in value]
        is_range = hasattr(field, "range_type")
        if value == "empty":
            return field.range_type(empty=True)
        return field.range_type(*value) if is_range and isinstance(value, tuple) else value

    season = Season.objects.create(**{name: ranges(field, value)})
    (stored,) = Season.objects.values_list(name, flat=True)
    entry = Entry.objects.of(season).get()
    decoded = decode(field, entry.changes[name]["new"])
    assert decoded == stored
    assert str(decoded) == str(stored)
    season.delete()
    restore(state_after(entry))
    assert Season.objects.values_list(name, flat=True).get() == stored
    with pytest.raises(UnreadableError):
        decode(field, 5)


@pytest.mark.parametrize(
    "setting", ["extra_float_digits = 0", "datestyle = 'German'", "datestyle = 'SQL, DMY'"]
)
def test_a_setting_of_the_session_changes_no_value(setting: str) -> None:
    """Other programs write with settings of their own, which a role or a database can have."""
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL has such settings.")
    from .postgresql import Season

    days: Any = Season._meta.get_field("days")
    season = Season.objects.create(days=days.range_type(date(2024, 2, 1), date(2024, 3, 4)))
    season.refresh_from_db()
    article = Article.objects.create(title="One", rating=0.1 + 0.2)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {setting}")
        Season.objects.update(days=None)
        Article.objects.update(rating=None)
        cursor.execute("SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL extra_float_digits = 1")
    assert decode(days, last_change(season)["days"][0]) == season.days
    assert last_change(article)["rating"][0] == article.rating


def test_null_in_json_is_shown_as_such() -> None:
    article = Article.objects.create(title="One")
    Article.objects.update(details=JSONNull())
    entry = Entry.objects.of(article)[0]
    (change,) = Page([entry]).changes(entry)
    assert (change.old, change.new) == (None, "null")


def test_a_field_that_reads_for_itself_reads_what_the_trail_holds() -> None:
    invoice = Invoice.objects.create(note="hello", total=Decimal("12.34"), parties=("a", "b"))
    changes = Entry.objects.of(invoice).get().changes
    fields: dict[str, Any] = {field.name: field for field in Invoice._meta.concrete_fields}

    def decoded(name: str) -> Any:
        return decode(fields[name], changes[name]["new"])

    assert (decoded("note"), decoded("total")) == ("hello", Decimal("12.34"))
    assert decoded("parties") == ("a", "b")
    with pytest.raises(UnreadableError, match=r"Invoice.note cannot read 'broken': KeyError"):
        decode(fields["note"], "broken")


def test_what_a_field_decrypts_is_not_shown() -> None:
    invoice = Invoice.objects.create(note="hello")
    (entry,) = Entry.objects.of(invoice)
    shown = {change.label: change.new for change in Page([entry]).changes(entry)}
    assert shown["Note"] == entry.changes["note"]["new"] != "hello"


def test_a_decimal_too_long_for_the_database_is_recorded_as_the_database_has_it() -> None:
    article = Article.objects.create(title="One", price=Decimal("123456789012345678.91"))
    Article.objects.get().save()
    (entry,) = Entry.objects.of(article)
    assert Decimal(entry.changes["price"]["new"]) == Article.objects.get().price


def test_a_moment_without_a_zone_is_recorded_as_the_database_has_it() -> None:
    article = Article(title="One", published_at=datetime(2024, 2, 29))  # noqa: DTZ001
    with pytest.warns(RuntimeWarning, match="received a naive datetime"):
        article.save()
    data = Entry.objects.of(article).get().changes["published_at"]["new"]
    assert data == "2024-02-29T00:00:00+00:00"


def test_what_is_not_a_number_is_recorded_as_the_database_has_it() -> None:
    article = Article.objects.create(title="One", rating=float("nan"))
    article.save()
    stored = Article.objects.get().rating
    assert Entry.objects.of(article).get().changes["rating"]["new"] == (stored and "NaN")


def test_a_truth_value_that_becomes_a_number_is_a_change() -> None:
    article = Article.objects.create(title="One", details={"on": True})
    article.details = {"on": 1}
    article.save()
    latest = Entry.objects.of(article)[0]
    assert latest.action == Entry.Action.UPDATE
    assert type(latest.changes["details"]["new"]["on"]) is int


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("number", [0, 1, 50, 51, 250])
@isolate_apps("apps.audit.tests.examples")
def test_a_table_may_have_hundreds_of_columns(number: int) -> None:
    names = [f"field{n}" for n in range(number)]
    body = {name: models.IntegerField(default=0) for name in names}
    meta = type("Meta", (Example.Meta,), {})
    wide: Any = type("Wide", (Example,), {**body, "Meta": meta, "__module__": Example.__module__})
    columns = ", ".join(["id integer PRIMARY KEY", *(f"{name} integer" for name in names)])
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {wide._meta.db_table} ({columns})")
    register(wide)
    row = wide.objects.create(pk=1)
    wide.objects.update(**{name: n % 3 for n, name in enumerate(names)} or {"id": 1})
    row.delete()
    found = [entry.changes for entry in Entry.objects.filter(model_label=wide._meta.label)]
    whole = {name: {"old": None, "new": 0} for name in names}
    some = {name: {"old": 0, "new": n % 3} for n, name in enumerate(names) if n % 3}
    gone = {name: {"old": n % 3, "new": None} for n, name in enumerate(names)}
    assert found == [gone, *([some] if some else []), whole]
