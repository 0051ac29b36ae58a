"""Columns with unusual comparisons: their changes are recorded all the same."""

from typing import Any

import pytest
from django.db import connection, models
from django.db.models.functions import Upper
from django.test.utils import isolate_apps

from apps.audit import triggers
from apps.audit.values import decode

from ..conftest import register
from ..examples.models import Example
from ..trail import actions, last_change

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("restored")]


def create_table(column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE thing (id integer PRIMARY KEY, value {column})")


class OfAnotherType(models.Field):
    """A column of a type that Django knows nothing of; its values are texts."""

    def __init__(self, column: str = "", **options: Any) -> None:
        self.column_type = column
        super().__init__(**options)

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "column": self.column_type}

    def db_type(self, connection: Any) -> str:
        return self.column_type


def model_with(field: models.Field) -> Any:
    class Thing(Example):
        value = field

        class Meta(Example.Meta):
            db_table = "thing"

    register(Thing)
    return Thing


@pytest.mark.parametrize("declared", [True, False])
@isolate_apps("apps.audit.tests.examples")
def test_a_change_of_case_is_recorded_where_case_makes_no_difference(declared: bool) -> None:
    """Also where only the column has the collation, as in a table that Django did not make."""
    collation = "NOCASE"
    if connection.vendor == "postgresql":
        collation = "caseless"
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE COLLATION caseless"
                " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
    create_table(f"varchar(50) COLLATE {collation}")
    known = collation if declared else None
    model = model_with(models.CharField(max_length=50, db_collation=known))
    thing = model.objects.create(id=1, value="ada")
    thing.value = "Ada"
    thing.save()
    assert last_change(thing) == {"value": ("ada", "Ada")}
    model.objects.update(value=Upper("value"))
    assert last_change(thing) == {"value": ("Ada", "ADA")}
    model.objects.update(value="ADA")
    assert len(actions(thing)) == 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has such types")
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("column", "one", "two", "recorded"),
    [
        ("json", '{"a": 1}', '{"a":  1}', ({"a": 1}, {"a": 1})),
        ("point", "(1,2)", "(3,4)", ("(1,2)", "(3,4)")),
        ("box", "(1,1),(0,0)", "(2,1),(1,0)", ("(1,1),(0,0)", "(2,1),(1,0)")),
        ("xml", "<a/>", "<b/>", ("<a/>", "<b/>")),
        ("jsonpath", '$."a"', '$."b"', ('$."a"', '$."b"')),
        ("json[]", "{1}", "{2}", ([1], [2])),
    ],
)
@isolate_apps("apps.audit.tests.examples")
def test_values_that_the_database_cannot_compare_are_recorded(
    column: str, one: str, two: str, recorded: Any, own: bool
) -> None:
    """Also in a text field, as which ``inspectdb`` declares a column that it does not know."""
    create_table(column)
    field = OfAnotherType(column) if own else models.TextField()
    thing = model_with(field).objects.create(id=1, value=one)
    thing.value = two
    thing.save()
    assert last_change(thing) == {"value": recorded}
    thing.save()
    assert actions(thing) == ["create", "update"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("hstore", """'"a"=>"1, x", b=>NULL'"""), ("hstore[]", "ARRAY[hstore('a', '1')]")],
    ids=str,
)
@isolate_apps("apps.audit.tests.examples")
def test_a_mapping_of_texts_can_be_read(column: str, value: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("Only PostgreSQL has such a type.")
    from django.contrib.postgres import signals
    from django.contrib.postgres.fields import ArrayField, HStoreField

    oids: Any = signals.get_hstore_oids
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")
        oids.cache_clear()
        signals.register_type_handlers(connection)
        oids.cache_clear()
        create_table(column)
        field: Any = HStoreField() if column == "hstore" else ArrayField(HStoreField())
        thing = model_with(field)
        cursor.execute(f"INSERT INTO thing VALUES (1, {value})")  # noqa: S608 (values of the test)
    stored = thing.objects.values_list("value", flat=True).get()
    _, new = last_change(thing(pk=1))["value"]
    assert decode(thing._meta.get_field("value"), new) == stored


def test_a_name_that_is_too_long_in_bytes() -> None:
    """PostgreSQL cuts names at 63 bytes."""
    names = ["прикладная_организация", "прикладная_организация_2"]
    things: list[Any] = [
        type(name, (Example,), {"__module__": __name__, "name": models.TextField()})
        for name in names
    ]
    for table in [model._meta.db_table for model in things]:
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE TABLE "{table}" (id integer PRIMARY KEY, name text)')
    for _ in range(2):
        for model in things:
            register(model)
        assert triggers.faults(connection) == []
    for model in things:
        thing = model.objects.create(id=1, name="a")
        model.objects.update(name="b")
        assert actions(thing) == ["create", "update"]
