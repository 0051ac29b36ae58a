"""The audit trail and ``manage.py migrate``: renames, changed columns, killed runs, both databases.

Each test plants an app with audited models into a project and migrates it forwards. Most of them
migrate it backwards too. Then new processes read the trail, as a server does after a restart.
"""

import json
import re
import shutil
import textwrap
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.checks.check import expect_none
from tests.support.bakery import Bakery
from tests.support.project import BakedProject
from tests.support.services import require_services
from tests.support.template import Combination

pytestmark = pytest.mark.whole

SERVER = "postgres://postgres@127.0.0.1:5432/"
SILENT = "System check identified no issues (0 silenced).\n"
# Every secret of these tests contains this.
SECRET = "hunter"

APPS = '''
"""A shop."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "apps.shop"

    def ready(self) -> None:
        from apps.audit.registry import register

        from . import models

        for model in self.get_models():
            register(model, **models.OPTIONS.get(model.__name__, {}))
'''

# Runs the code that it reads, and prints what that has put into ``result``.
PROOF = '''
import io
import json
import os
import re
import sys

import django
from django.core.management import call_command

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()

from django.apps import apps
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.audit import restore as restoring
from apps.audit import triggers
from apps.audit.models import Entry

for model in apps.get_app_config("shop").get_models() if apps.is_installed("apps.shop") else ():
    globals()[model.__name__] = model
result = None


def migrate(*words):
    call_command("migrate", *words, verbosity=0, interactive=False, skip_checks=False)


def now():
    return timezone.now().isoformat()


def checked():
    out = io.StringIO()
    try:
        call_command("check", databases=["default"], stdout=out, stderr=out, no_color=True)
    except Exception as error:
        return f"{out.getvalue()}{error}"
    return out.getvalue()


def trail(instance):
    """List the entries of an object, the first one first; each change as [old, new]."""
    entries = Entry.objects.of(instance).exclude(action="rename").reverse()
    return [
        [
            entry.action,
            {
                name: [change["old"], change["new"]] if "old" in change else change
                for name, change in entry.changes.items()
            },
        ]
        for entry in entries
    ]


def told(label, key):
    out = io.StringIO()
    call_command("audit", "history", label, str(key), "--limit=99", stdout=out)
    return out.getvalue()


def plain(state):
    return {
        "exists": state.exists,
        "values": {
            name: value if isinstance(value, int | str | None) else str(value)
            for name, value in state.values.items()
        },
        "links": {name: sorted(keys) for name, keys in state.links.items()},
        "unknown": sorted(state.unknown),
    }


def state(model, pk, moment):
    return plain(restoring.state_at(model, pk, parse_datetime(moment)))


def restored(model, pk, moment):
    return restoring.restore(restoring.state_at(model, pk, parse_datetime(moment)))[1]


def renames():
    found = Entry.objects.filter(action="rename").order_by("pk")
    return [[entry.model_label, entry.object_id, entry.changes] for entry in found]


exec(compile(sys.stdin.read(), "proof", "exec"), globals())

said = {"result": result, "check": checked(), "faults": triggers.faults(connection), "secrets": []}
with connection.cursor() as cursor:
    cursor.execute("SELECT * FROM audit_entry")
    said["secrets"] = [str(row) for row in cursor.fetchall() if "hunter" in str(row)]
print(f"\\n{json.dumps(said)}")
'''

MIGRATION = """
from django.db import migrations, models


def run(*statements):
    def forwards(apps, editor):
        for statement in statements:
            editor.execute(statement)
    return migrations.RunPython(forwards, migrations.RunPython.noop)


def fill(model, **values):
    def forwards(apps, editor):
        for row in apps.get_model("shop", model)._base_manager.all():
            for name, value in values.items():
                setattr(row, name, value)
            row.save()
    return migrations.RunPython(forwards, migrations.RunPython.noop)


class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("shop", "{after}")]
    operations = [
{operations}
    ]
"""


@dataclass(frozen=True)
class Said:
    """The result of some code in the project, and what the trail says of itself after it."""

    result: Any
    check: str
    faults: list[str]
    secrets: list[str]


@dataclass
class Shop:
    """A project with an app that changes, and a database that goes along."""

    project: BakedProject
    url: str
    number: int = 1

    @property
    def folder(self) -> Path:
        return self.project.path / "apps" / "shop"

    @property
    def postgresql(self) -> bool:
        return self.url.startswith("postgres")

    def write(self, models: str, options: str = "") -> None:
        """Let the models be these; ``options`` are those of their registration, by name."""
        text = (
            f"from django.db import models\n\n{textwrap.dedent(models)}\nOPTIONS = {{{options}}}\n"
        )
        (self.folder / "models.py").write_text(text, encoding="utf-8")

    def start(self, models: str, code: str, options: str = "") -> Any:
        """Write the first models, migrate them, and run code with them."""
        self.write(models, options)
        first = "call_command('makemigrations', 'shop', verbosity=0)\nmigrate()\n"
        return self.run(first + textwrap.dedent(code))

    def add(self, *operations: str, atomic: bool = True) -> None:
        """Add a migration after those that are there."""
        folder = self.folder / "migrations"
        last = "0001_initial" if self.number == 1 else f"{self.number:04}_next"
        self.number += 1
        lines = textwrap.indent(",\n".join(operations), "        ")
        text = MIGRATION.format(atomic=atomic, after=last, operations=f"{lines},")
        (folder / f"{self.number:04}_next.py").write_text(text, encoding="utf-8")

    def change(self, models: str, code: str, options: str = "") -> Any:
        """Write the next models, whose migrations were added, migrate, and run code."""
        self.write(models, options)
        same = "migrate()\ncall_command('makemigrations', 'shop', check=True, dry_run=True)\n"
        return self.run(same + textwrap.dedent(code))

    def go_back(self, models: str, code: str, options: str = "") -> Any:
        """Take all but the first migration back, and then the code, as one does by hand."""
        self.ask("migrate('shop', '0001')")
        for path in self.folder.glob("migrations/*_next.py"):
            path.rename(path.with_suffix(".gone"))
        self.write(models, options)
        try:
            return self.run("migrate()\n" + textwrap.dedent(code))
        finally:
            for path in self.folder.glob("migrations/*_next.gone"):
                path.rename(path.with_suffix(".py"))

    def run(self, code: str) -> Any:
        """Run code; expect that all is in order after it."""
        said = self.ask(code)
        assert said.faults == []
        assert said.check == SILENT
        assert said.secrets == []
        return said.result

    def ask(self, code: str) -> Said:
        """Run code in a new process; return what it and the trail say."""
        done = self.project.run(
            "python", "proof.py", answers=textwrap.dedent(code), DATABASE_URL=self.url
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        return Said(**json.loads(done.stdout.splitlines()[-1]))


def statement(project: BakedProject, text: str) -> None:
    """Run a statement on the server, outside of a transaction."""
    code = f"import psycopg\nwith psycopg.connect({SERVER!r} + 'postgres', autocommit=True) as c: c.execute({text!r})"
    expect_none(project.faults_of("python", "-c", code))


@dataclass(frozen=True)
class Base:
    """A project with the empty app, and a database in which all else is migrated."""

    project: BakedProject
    url: str


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def base(
    request: pytest.FixtureRequest, bakery: Bakery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    """The start of every test here, on either database."""
    folder = tmp_path_factory.mktemp("base")
    project = bakery.copy(bakery.project(Combination(("audit",))), folder / "my_project")
    app = project.path / "apps" / "shop"
    (app / "migrations").mkdir(parents=True)
    for file in (app / "__init__.py", app / "migrations" / "__init__.py"):
        file.write_text("")
    (app / "apps.py").write_text(APPS)
    (app / "models.py").write_text("OPTIONS = {}\n")
    (project.path / "proof.py").write_text(PROOF)
    settings = project.path / "config" / "settings.py"
    text = settings.read_text(encoding="utf-8")
    mark = "    # Add your apps here"
    assert text.count(mark) == 1
    settings.write_text(text.replace(mark, f'    "apps.shop",\n{mark}'), encoding="utf-8")
    if request.param == "SQLite":
        url = f"sqlite:///{folder / 'base.sqlite3'}"
    else:
        require_services()
        name = f"template_{uuid.uuid4().hex[:12]}"
        statement(project, f'CREATE DATABASE "{name}"')
        url = SERVER + name
    try:
        expect_none(project.faults_of("python", "manage.py", "migrate", "-v0", DATABASE_URL=url))
        yield Base(project, url)
    finally:
        if url.startswith(SERVER):
            statement(project, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def shop(base: Base, tmp_path: Path) -> Iterator[Shop]:
    """A copy of the project and of its database."""
    path = tmp_path / "my_project"
    shutil.copytree(base.project.path, path)
    project = BakedProject(
        path, base.project.template, base.project.combination, frozenset(), base.project.environment
    )
    if not base.url.startswith(SERVER):
        for file in Path(base.url.removeprefix("sqlite:///")).parent.glob("base.sqlite3*"):
            shutil.copy(file, tmp_path / file.name)
        yield Shop(project, f"sqlite:///{tmp_path / 'base.sqlite3'}")
        return
    name = f"template_{uuid.uuid4().hex[:12]}"
    statement(project, f'CREATE DATABASE "{name}" TEMPLATE "{base.url.removeprefix(SERVER)}"')
    try:
        yield Shop(project, SERVER + name)
    finally:
        statement(project, f'DROP DATABASE "{name}" WITH (FORCE)')


# Renames of one thing each

MODELS = """
class Author(models.Model):
    name = models.CharField(max_length=50)


class Tag(models.Model):
    name = models.CharField(max_length=50)


class Order(models.Model):
    name = models.CharField(max_length=50)
    total = models.IntegerField(default=1)
    weight = models.IntegerField(default=1, db_column="kilos")
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    api_token = models.CharField(max_length=50, default="")
    tags = models.ManyToManyField(Tag)
    others = models.ManyToManyField("self")


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
"""

FIRST = f"""
ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
red, blue = Tag.objects.create(name="red"), Tag.objects.create(name="blue")
order = Order.objects.create(name="One", total=1, weight=1, author=ada, api_token="{SECRET}1")
order.tags.add(red)
Line.objects.create(order=order)
result = now()
Order.objects.update(name="Two", total=2, weight=2, author=bob, api_token="{SECRET}2")
order.tags.set([blue])
order.others.add(order)
"""

WAS = {"name": "One", "total": 1, "weight": 1, "author": 1}
IS = {"name": "Two", "total": 2, "weight": 2, "author": 2}


@dataclass(frozen=True)
class Rename:
    """One rename: what is done, and what is called otherwise afterwards."""

    operations: tuple[str, ...]
    field: tuple[str, str] = ("", "")
    model: str = "Order"
    options: str = ""
    after: tuple[tuple[str, str], ...] = ()

    def models(self) -> str:
        before, start, text = MODELS.partition("class Order(")
        text = start + text
        for old, new in self.after:
            assert old in text
            text = text.replace(old, new)
        return before + text

    def today(self, name: str) -> str:
        old, new = self.field
        return new if name == old else name


def field(old: str, new: str, **more: Any) -> Rename:
    operation = f'migrations.RenameField("order", "{old}", "{new}")'
    return Rename((operation,), (old, new), after=((f"    {old} = ", f"    {new} = "),), **more)


SEPARATE = """migrations.SeparateDatabaseAndState(
    state_operations=[migrations.RenameField("order", "total", "amount")],
    database_operations=[migrations.RunSQL(
        "ALTER TABLE shop_order RENAME COLUMN total TO amount",
        "ALTER TABLE shop_order RENAME COLUMN amount TO total",
    )],
)"""
SEPARATE_MODEL = """migrations.SeparateDatabaseAndState(
    state_operations=[
        migrations.RenameModel("Order", "Purchase"),
        migrations.AlterModelTable("Purchase", "shop_order"),
        migrations.AlterField(
            "purchase", "tags", models.ManyToManyField("shop.tag", db_table="shop_order_tags")
        ),
        migrations.AlterField(
            "purchase", "others", models.ManyToManyField(
                "shop.purchase", db_table="shop_order_others"
            )
        ),
    ],
)"""
PURCHASE = (
    ("class Order(", "class Purchase("),
    ("ForeignKey(Order,", "ForeignKey(Purchase,"),
)
KEPT = '\n\n    class Meta:\n        db_table = "shop_order"\n'
RENAMES = {
    "field": field("total", "amount"),
    "field in the same column": field("weight", "heft"),
    "foreign key": field("author", "writer"),
    "name": field("name", "title"),
    "masked to masked by option": field("api_token", "note", options='"Order": {"mask": ["note"]}'),
    "masked to masked by name": field("api_token", "other_secret"),
    "links": field("tags", "labels"),
    "links to itself": field("others", "alike"),
    "state alone": Rename(
        (SEPARATE,), ("total", "amount"), after=(("    total = ", "    amount = "),)
    ),
    "model": Rename(
        ('migrations.RenameModel("Order", "Purchase")',), model="Purchase", after=PURCHASE
    ),
}  # fmt: skip


def asked_after(rename: Any, moment: str) -> str:
    """Return what is asked of the trail after a rename, with some writes."""
    today = rename.today
    total, token, tags, label = (
        today("total"),
        today("api_token"),
        today("tags"),
        f"shop.{rename.model}",
    )
    return f"""
order = {rename.model}.objects.get()
{rename.model}.objects.update({total}=3, {token}="{SECRET}3")
order.{tags}.clear()
line = Line.objects.get()
result = {{
    "trail": trail(order),
    "line": trail(line),
    "told": told({label!r}, order.pk),
    "renames": renames(),
    "state": state({rename.model}, order.pk, {moment!r}),
    "after": plain(restoring.state_after(Entry.objects.of(order).earliest("pk"))),
    "moment": now(),
    "restored": sorted(restored({rename.model}, order.pk, {moment!r})),
}}
order.refresh_from_db()
result["now"] = [getattr(order, name) for name in {[today("name"), today("total"), today("weight"), today("author") + "_id"]}]
result["tags"] = [tag.name for tag in order.{tags}.all()]
result["repr"] = Entry.objects.of(order).latest("pk").object_repr
result["last"] = trail(order)[len(result["trail"]):]
"""


def asked_behind(moment: str, between: str) -> str:
    """Return what is asked of the trail after the rename was taken back, with a write."""
    return f"""
order = Order.objects.get()
Order.objects.update(total=4)
result = {{
    "trail": trail(order),
    "told": told("shop.Order", order.pk),
    "state": state(Order, order.pk, {moment!r}),
    "between": state(Order, order.pk, {between!r}),
    "after": plain(restoring.state_after(Entry.objects.of(order).earliest("pk"))),
    "restored": sorted(restored(Order, order.pk, {moment!r})),
}}
order.refresh_from_db()
result["now"] = [order.name, order.total, order.weight, order.author_id]
result["tags"] = [tag.name for tag in order.tags.all()]
result["repr"] = Entry.objects.of(order).latest("pk").object_repr
"""


@pytest.mark.parametrize("name", RENAMES)
def test_a_rename(shop: Shop, name: str) -> None:
    """Forwards and backwards, what the trail has is known under the names of today."""
    rename = RENAMES[name]
    moment = shop.start(MODELS, FIRST)
    shop.add(*rename.operations)
    today, label = rename.today, f"shop.{rename.model}"
    total, token, tags = today("total"), today("api_token"), today("tags")
    found = shop.change(rename.models(), asked_after(rename, moment), rename.options)
    expect_old_values_under(found, today)
    assert found["trail"][-2:] == [
        ["update", {total: [2, 3], token: {"masked": True}}],
        ["update", {tags: {"added": [], "removed": [2]}}],
    ]
    assert [action for action, _ in found["trail"]] == ["create", *["update"] * 7]
    assert found["line"] == [["create", {today("order"): [None, 1]}]]
    if rename.field != ("", ""):
        old, new = rename.field
        assert found["renames"] == [["shop.Order", "", {new: {"renamed": old}}]]
    else:
        assert found["renames"] == [[label, "", {"": {"renamed": "shop.Order"}}]]

    again = shop.go_back(MODELS, asked_behind(moment, found["moment"]))
    expect_old_values_under(again, lambda name: name)
    assert again["trail"][-1] == ["update", {"total": [1, 4]}]
    # A secret that has not changed since is what the object has.
    assert again["between"]["values"] == IS | {"total": 3, "api_token": f"{SECRET}3"}
    assert again["between"]["unknown"] == []
    assert again["between"]["links"] == {"tags": [], "others": [1]}


def expect_old_values_under(found: dict[str, Any], today: Any) -> None:
    """Expect what was before the rename, as it was, under the names that things have now."""
    values = {today(name): value for name, value in WAS.items()}
    assert found["state"] == {
        "exists": True,
        "values": values,
        "links": {today("tags"): [1], today("others"): []},
        "unknown": [today("api_token")],
    }
    assert found["after"]["values"] == values
    assert found["after"]["links"] == {today("tags"): [], today("others"): []}
    assert found["restored"] == [today("api_token")]
    assert found["now"] == ["One", 1, 1, 1]
    assert found["tags"] == ["red"]
    assert found["repr"] == "One"
    for name, removed, added in (
        ("total", "1", "2"), ("weight", "1", "2"), ("name", "One", "Two"),
    ):  # fmt: skip
        shown = today(name).capitalize()
        assert re.search(rf"^  {shown}\n +- {removed}\n +\+ {added}$", found["told"], re.M), shown
        if today(name) != name:
            assert f"  {name.capitalize()}\n" not in found["told"]
    assert f"  {today('tags').capitalize()}\n" in found["told"]
    token = today("api_token").replace("_", " ").capitalize()
    assert f"  {token}: " in found["told"]
    assert SECRET not in found["told"]


def test_a_model_whose_table_keeps_its_name(shop: Shop) -> None:
    """A rename that makes no DDL at all is one all the same."""
    plain = """
class Order(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        db_table = "orders"
"""
    moment = shop.start(
        plain,
        """
        order = Order.objects.create(name="One")
        result = now()
        Order.objects.update(name="Two")
        """,
    )
    shop.add('migrations.RenameModel("Order", "Purchase")')
    found = shop.change(
        plain.replace("Order", "Purchase"),
        f"""
        order = Purchase.objects.get()
        Purchase.objects.update(name="Three")
        result = [trail(order), state(Purchase, 1, {moment!r})["values"], renames()]
        """,
    )
    assert [change["name"] for _, change in found[0]] == [
        [None, "One"],
        ["One", "Two"],
        ["Two", "Three"],
    ]
    assert found[1] == {"name": "One"}
    assert found[2] == [["shop.Purchase", "", {"": {"renamed": "shop.Order"}}]]


# Several renames, and names that come again

ORDER = """
class Order(models.Model):
    name = models.CharField(max_length=50)
    total = models.IntegerField(default=0)
    count = models.IntegerField(default=0)
"""
ORDERED = """
order = Order.objects.create(name="One", total=1, count=10)
result = now()
Order.objects.update(total=2, count=20)
"""


def rename_field(old: str, new: str, model: str = "order") -> str:
    return f'migrations.RenameField("{model}", "{old}", "{new}")'


@pytest.mark.parametrize("together", [True, False])
def test_fields_that_change_places(shop: Shop, together: bool) -> None:
    moment = shop.start(ORDER, ORDERED)
    steps = [
        rename_field("total", "between"),
        rename_field("count", "total"),
        rename_field("between", "count"),
    ]
    if together:
        shop.add(*steps)
    else:
        for step in steps:
            shop.add(step)
    found = shop.change(
        ORDER,
        f"""
        order = Order.objects.get()
        Order.objects.update(total=21)
        result = [state(Order, 1, {moment!r}), trail(order)[-1], told("shop.Order", 1), now()]
        """,
    )
    assert found[0]["values"] == {"name": "One", "total": 10, "count": 1}
    assert found[0]["unknown"] == []
    assert found[1] == ["update", {"total": [20, 21]}]
    assert re.search(r"^  Total\n +- 10\n +\+ 20$", found[2], re.M)
    assert re.search(r"^  Count\n +- 1\n +\+ 2$", found[2], re.M)
    back = shop.go_back(
        ORDER, f"result = [state(Order, 1, {moment!r}), state(Order, 1, {found[3]!r})]"
    )
    assert back[0]["values"] == {"name": "One", "total": 1, "count": 10}
    assert back[1]["values"] == {"name": "One", "total": 2, "count": 21}


def test_a_field_that_takes_the_name_of_a_renamed_one(shop: Shop) -> None:
    moment = shop.start(ORDER, ORDERED)
    shop.add(
        rename_field("total", "amount"),
        'migrations.AddField("order", "total", models.IntegerField(null=True))',
    )
    models = ORDER.replace("total =", "amount =").replace(
        "    count", "    total = models.IntegerField(null=True)\n    count"
    )
    found = shop.change(
        models,
        f"""
        Order.objects.update(total=70, amount=7)
        middle = now()
        Order.objects.update(total=80, amount=8)
        result = [
            state(Order, 1, {moment!r}), state(Order, 1, middle), trail(Order.objects.get())[-1],
            told("shop.Order", 1),
        ]
        """,
    )
    assert found[0]["values"].get("total") is None
    assert found[0]["values"]["amount"] == 1
    assert found[1]["values"] == {"name": "One", "amount": 7, "total": 70, "count": 10 * 2}
    assert found[2] == ["update", {"total": [70, 80], "amount": [7, 8]}]
    assert re.search(r"^  Amount\n +- 1\n +\+ 2$", found[3], re.M)
    assert not re.search(r"^  Total\n +- 1\n", found[3], re.M)


def test_a_field_that_is_filled_where_it_takes_the_name_of_a_renamed_one(shop: Shop) -> None:
    """A migration may write rows right after it has renamed their fields."""
    moment = shop.start(ORDER, ORDERED)
    shop.add(
        rename_field("total", "amount"),
        'migrations.AddField("order", "total", models.IntegerField(default=0))',
        'run("UPDATE shop_order SET total = amount * 100, amount = 3")',
    )
    models = ORDER.replace("total =", "amount =") + "    total = models.IntegerField(default=0)\n"
    asked = (
        f"[state(Order, 1, {moment!r})['values'], trail(Order(pk=1))[-1], told('shop.Order', 1)]"
    )
    values, last, shown = shop.change(models, f"result = {asked}")
    assert values["amount"] == 1
    assert last == ["update", {"total": [0, 200], "amount": [2, 3]}]
    assert re.search(r"^  Total\n +- 0\n +\+ 200$", shown, re.M)
    assert re.search(r"^  Amount\n +- 2\n +\+ 3$", shown, re.M)
    values, _, shown = shop.go_back(ORDER, f"result = {asked}")
    assert values == {"name": "One", "total": 1, "count": 10}
    assert re.search(r"^  Total\n +- 2\n +\+ 3$", shown, re.M)


def test_a_model_that_takes_the_name_of_a_renamed_one(shop: Shop) -> None:
    moment = shop.start(ORDER, ORDERED)
    shop.add(
        'migrations.RenameModel("Order", "Purchase")',
        rename_field("total", "amount", "purchase"),
        'migrations.CreateModel("Order", [("id", models.BigAutoField(auto_created=True,'
        ' primary_key=True, serialize=False, verbose_name="ID")),'
        ' ("total", models.IntegerField(default=0))])',
    )
    models = (
        ORDER.replace("Order", "Purchase").replace("total", "amount")
        + "\n\nclass Order(models.Model):\n    total = models.IntegerField(default=0)\n"
    )
    found = shop.change(
        models,
        f"""
        Order.objects.create(pk=1, total=50)
        order, purchase = Order.objects.get(), Purchase.objects.get()
        Purchase.objects.update(amount=3)
        result = [
            trail(order), len(trail(purchase)), state(Order, 1, {moment!r})["exists"],
            state(Purchase, 1, {moment!r}), told("shop.Order", 1), told("shop.Purchase", 1),
        ]
        """,
    )
    assert found[0] == [["create", {"total": [None, 50]}]]
    assert found[1] == 3
    assert found[2] is False
    assert found[3]["values"] == {"name": "One", "amount": 1, "count": 10}
    assert "One" not in found[4]
    assert re.search(r"^  Amount\n +- 1\n +\+ 2$", found[5], re.M)


def test_a_model_and_its_fields_renamed_more_than_once(shop: Shop) -> None:
    moment = shop.start(ORDER, ORDERED)
    shop.add(rename_field("total", "amount"), 'migrations.RenameModel("Order", "Purchase")')
    shop.add(rename_field("amount", "price", "purchase"))
    shop.add('migrations.RenameModel("Purchase", "Sale")', rename_field("price", "worth", "sale"))
    found = shop.change(
        ORDER.replace("Order", "Sale").replace("total", "worth"),
        f"""
        Sale.objects.update(worth=3)
        result = [
            state(Sale, 1, {moment!r}), trail(Sale.objects.get())[-1], told("shop.Sale", 1),
            len(trail(Sale.objects.get())),
        ]
        """,
    )
    assert found[0]["values"] == {"name": "One", "worth": 1, "count": 10}
    assert found[1] == ["update", {"worth": [2, 3]}]
    assert re.search(r"^  Worth\n +- 1\n +\+ 2$", found[2], re.M)
    assert found[3] == 3
    back = shop.go_back(
        ORDER,
        f"Order.objects.update(total=4)\nresult = [state(Order, 1, {moment!r}), len(trail(Order.objects.get()))]",
    )
    assert back[0]["values"] == {"name": "One", "total": 1, "count": 10}
    assert back[1] == 4


def test_a_child_and_a_parent_with_tables_of_their_own(shop: Shop) -> None:
    models = """
class Place(models.Model):
    name = models.CharField(max_length=50)


class Hotel(Place):
    beds = models.IntegerField(default=0)
"""
    moment = shop.start(
        models,
        """
        Hotel.objects.create(name="One", beds=1)
        result = now()
        Hotel.objects.update(name="Two", beds=2)
        """,
    )
    shop.add(
        rename_field("beds", "rooms", "hotel"),
        rename_field("name", "title", "place"),
    )
    found = shop.change(
        models.replace("name", "title").replace("beds", "rooms"),
        f"""
        hotel = Hotel.objects.get()
        hotel.title, hotel.rooms = "Three", 3
        hotel.save()
        result = [state(Hotel, 1, {moment!r}), trail(hotel)]
        """,
    )
    assert found[0]["values"] == {"title": "One", "rooms": 1}
    assert found[0]["unknown"] == []
    assert found[1][-2:] == [
        ["update", {"title": ["Two", "Three"]}],
        ["update", {"rooms": [2, 3]}],
    ]
    assert len(found[1]) == 6


# The value of a masked field, while a plan runs


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("statement", ["fill", "run"])
def test_a_masked_field_that_is_renamed_and_written_in_one_plan(
    shop: Shop, together: bool, statement: str
) -> None:
    models = """
class Order(models.Model):
    api_token = models.CharField(max_length=50)
    email = models.CharField(max_length=50, default="")
"""
    shop.start(
        models,
        f"""
        Order.objects.create(api_token="{SECRET}1", email="{SECRET}@example.com")
        """,
        '"Order": {"mask": ["email"]}',
    )
    write = (
        f'fill("order", note="{SECRET}2", api_token="{SECRET}2@example.com")'
        if statement == "fill"
        else f"run(\"UPDATE shop_order SET note = '{SECRET}2', api_token = '{SECRET}2'\")"  # noqa: S608
    )
    steps = (rename_field("api_token", "note"), rename_field("email", "api_token"), write)
    if together:
        shop.add(*steps)
    else:
        for step in steps:
            shop.add(step)
    found = shop.change(
        models.replace("api_token", "note").replace("email", "api_token"),
        "result = trail(Order.objects.get())",
        '"Order": {"mask": ["note"]}',
    )
    masked = {"masked": True}
    assert found[-1] == ["update", {"note": masked, "api_token": masked}]
    assert len(found) == 2


# Columns that come, go and change


@pytest.mark.parametrize("filled", ["never", "in the same", "in a later", "by SQL"])
def test_an_added_field(shop: Shop, filled: str) -> None:
    moment = shop.start(ORDER, ORDERED)
    add = 'migrations.AddField("order", "place", models.CharField(default="-", max_length=9))'
    match filled:
        case "never":
            shop.add(add)
        case "in the same":
            # Otherwise PostgreSQL still has the events of a deferred constraint; as Django says.
            shop.add(add, 'fill("order", place="Rome")', atomic=False)
        case "in a later":
            shop.add(add)
            shop.add('fill("order", place="Rome")')
        case _:
            shop.add(add, 'migrations.RunSQL("UPDATE shop_order SET place = \'Rome\'", "")')
    models = ORDER + '    place = models.CharField(default="-", max_length=9)\n'
    found = shop.change(
        models,
        f"""
        order = Order.objects.get()
        old = state(Order, 1, {moment!r})
        before = trail(order)
        order.place = "Oslo"
        order.save()
        result = [before, trail(order)[-1], old, told("shop.Order", 1)]
        """,
    )
    value = "-" if filled == "never" else "Rome"
    recorded = [] if filled == "never" else [["update", {"place": ["-", "Rome"]}]]
    assert found[0][2:] == recorded
    assert found[1] == ["update", {"place": [value, "Oslo"]}]
    assert found[2]["values"]["total"] == 1
    if filled != "never":
        assert found[2]["values"].get("place", "-") == "-"
    back = shop.go_back(
        ORDER,
        f"""
        Order.objects.update(total=3)
        result = [trail(Order.objects.get())[-1], state(Order, 1, {moment!r}), told("shop.Order", 1)]
        """,
    )
    assert back[0] == ["update", {"total": [2, 3]}]
    assert back[1]["values"] == {"name": "One", "total": 1, "count": 10}
    assert "Oslo" in back[2]


def test_a_removed_field(shop: Shop) -> None:
    moment = shop.start(ORDER, ORDERED)
    shop.add('migrations.RemoveField("order", "total")')
    found = shop.change(
        ORDER.replace("    total = models.IntegerField(default=0)\n", ""),
        f"""
        order = Order.objects.get()
        order.count = 21
        order.save()
        result = [
            trail(order)[-1], state(Order, 1, {moment!r}), told("shop.Order", 1),
            sorted(restored(Order, 1, {moment!r})),
        ]
        """,
    )
    assert found[0] == ["update", {"count": [20, 21]}]
    assert found[1]["values"] == {"name": "One", "count": 10}
    assert re.search(r"^  [Tt]otal\n +- 1\n +\+ 2$", found[2], re.M)
    assert found[3] == []
    back = shop.go_back(
        ORDER,
        f"""
        order = Order.objects.get()
        order.total = 5
        order.save()
        result = [trail(order)[-1], state(Order, 1, {moment!r})]
        """,
    )
    # Its column is a new one, in which all values are the default.
    assert back[0] == ["update", {"total": [0, 5]}]
    assert back[1]["values"]["count"] == 10
    assert back[1]["values"].get("total") != 0


@dataclass(frozen=True)
class Altered:
    """A field before and after, values of it, and what the first of them is afterwards."""

    before: str
    after: str
    first: str
    second: str
    third: str
    then: Any
    changes: list[Any]


ALTERED = {
    "type": Altered(
        "models.IntegerField()", "models.CharField(max_length=9)", "1", "2", "'3'", "1", ["2", "3"]
    ),
    "type with a conversion": Altered(
        "models.CharField(max_length=9)", "models.TextField()", "'1'", "'2'", "'3'", "1", ["2", "3"]
    ),
    "wider number": Altered(
        "models.IntegerField()", "models.BigIntegerField()", "1", "2", "3", 1, [2, 3]
    ),
    "null": Altered(
        "models.IntegerField()", "models.IntegerField(null=True)", "1", "2", "None", 1, [2, None]
    ),
    "length": Altered(
        "models.CharField(max_length=9)", "models.CharField(max_length=90)",
        "'a'", "'b'", "'c' * 50", "a", ["b", "c" * 50],
    ),
    "column": Altered(
        "models.IntegerField()", "models.IntegerField(db_column='other')", "1", "2", "3", 1, [2, 3]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_field(shop: Shop, name: str) -> None:
    altered = ALTERED[name]
    models = "class Order(models.Model):\n    value = {}\n    other_token = models.TextField()\n"
    moment = shop.start(
        models.format(altered.before),
        f"""
        Order.objects.create(value={altered.first}, other_token="{SECRET}")
        result = now()
        Order.objects.update(value={altered.second}, other_token="{SECRET}2")
        """,
    )
    shop.add(f'migrations.AlterField("order", "value", {altered.after})')
    found = shop.change(
        models.format(altered.after),
        f"""
        Order.objects.update(value={altered.third}, other_token="{SECRET}3")
        result = [trail(Order.objects.get()), state(Order, 1, {moment!r}), told("shop.Order", 1)]
        restored(Order, 1, {moment!r})
        result.append(Order.objects.get().value)
        """,
    )
    assert found[0][-1] == ["update", {"value": altered.changes, "other_token": {"masked": True}}]
    assert len(found[0]) == 3
    assert found[1]["values"] == {"value": altered.then}
    assert found[3] == altered.then
    back = shop.go_back(
        models.format(altered.before),
        f"""
        Order.objects.update(value={altered.second}, other_token="{SECRET}4")
        result = [trail(Order.objects.get())[-1], told("shop.Order", 1)]
        """,
    )
    assert "value" in back[0][1]


# A text that a field cannot read, the type that the column gets, and a text that it can read then.
RETYPED = {
    "IntegerField": ("models.IntegerField()", "7"),
    "BooleanField": ("models.BooleanField()", "1"),
    "DecimalField": ("models.DecimalField(max_digits=9, decimal_places=2)", "7.50"),
    "FloatField": ("models.FloatField()", "7.5"),
    "JSONField": ("models.JSONField()", "[7]"),
    "BinaryField": ("models.BinaryField()", "seven"),
    "DateTimeField": ("models.DateTimeField()", "2026-01-01 00:00:00+00:00"),
    "DurationField": ("models.DurationField()", "7"),
    "UUIDField": ("models.UUIDField()", "1" * 32),
    "GenericIPAddressField": ("models.GenericIPAddressField()", "10.0.0.7"),
}


@pytest.mark.parametrize("name", RETYPED)
def test_values_are_made_fit_before_the_type_of_their_column_changes(shop: Shop, name: str) -> None:
    """The write is recorded, and never fails because the trail expects the later type."""
    after, fit = RETYPED[name]
    models = "class Order(models.Model):\n    value = {}\n"
    shop.start(models.format("models.TextField()"), "Order.objects.create(value='x\"y')")
    shop.add(
        'migrations.AddField("order", "place", models.CharField(default="-", max_length=9))',
        f"run(\"UPDATE shop_order SET value = '{fit}'\")",  # noqa: S608
        "run(\"INSERT INTO shop_order (value, place) VALUES ('x''y', 'a')\")",
        "run(\"DELETE FROM shop_order WHERE place = 'a'\")",
        f'migrations.AlterField("order", "value", {after})',
    )
    entries = shop.change(
        f"{models.format(after)}    place = models.CharField(default='-', max_length=9)\n",
        """
        result = [[entry.action, entry.changes.get("value")] for entry in
                  Entry.objects.filter(model_label="shop.Order").order_by("pk")]
        result.append(told("shop.Order", 1))
        """,
    )
    assert [action for action, _ in entries[:-1]] == ["create", "update", "create", "delete"]
    values = [value for _, value in entries[:-1]]
    # SQLite keeps JSON in columns for texts.
    is_read = name == "JSONField" and not shop.postgresql
    assert values[0] == {"old": None, "new": 'x"y'}
    assert values[1] == {"old": 'x"y', "new": json.loads(fit) if is_read else fit}
    assert values[2:] == [{"old": None, "new": "x'y"}, {"old": "x'y", "new": None}]


def test_a_field_that_may_no_longer_be_empty(shop: Shop) -> None:
    """The migration fills empty values; the trail must not take them for the earlier ones."""
    models = "class Order(models.Model):\n    value = {}\n    n = models.IntegerField(default=0)\n"
    moment = shop.start(
        models.format("models.IntegerField(null=True)"), "Order.objects.create()\nresult = now()"
    )
    shop.add(
        'migrations.AlterField("order", "value", models.IntegerField(default=7),'
        " preserve_default=False)"
    )
    found = shop.change(
        models.format("models.IntegerField()"),
        f"""
        old = state(Order, 1, {moment!r})
        Order.objects.update(value=8)
        result = [old, trail(Order.objects.get())[-1], state(Order, 1, {moment!r})]
        """,
    )
    assert found[1] == ["update", {"value": [7, 8]}]
    for state in (found[0], found[2]):
        assert state["values"].get("value") is None, "The default was not its value then."


@pytest.mark.parametrize(
    ("default", "filled"),
    [
        ("db_default=models.functions.Upper(models.Value('it (is)'))", "IT (IS)"),
        ("db_default=models.functions.Concat(models.Value('a) '), models.Value('b'))", "a) b"),
        ('default=\'), "FROM "shop_order"\'', '), "FROM "shop_order"'),
    ],
)
def test_a_default_with_parentheses_that_replaces_null(
    shop: Shop, default: str, filled: str
) -> None:
    models = (
        "class Order(models.Model):\n    value = models.CharField({})\n    n = models.TextField()"
    )
    shop.start(models.format("max_length=50, null=True"), "Order.objects.create(n='1')")
    shop.add(f"migrations.AlterField('order', 'value', models.CharField(max_length=50, {default}))")
    found = shop.change(
        models.format(f"max_length=50, {default}"), "result = trail(Order.objects.get())[1:]"
    )
    assert found == [["update", {"value": [None, filled]}]]


def test_a_foreign_key_to_another_model(shop: Shop) -> None:
    models = """
class Author(models.Model):
    name = models.CharField(max_length=50)


class Team(models.Model):
    name = models.CharField(max_length=50)


class Order(models.Model):
    by = models.ForeignKey({}, models.CASCADE, null=True)
"""
    moment = shop.start(
        models.format("Author"),
        """
        one, two = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
        Team.objects.create(name="Red")
        Order.objects.create(by=two)
        result = now()
        Order.objects.update(by=one)
        """,
    )
    shop.add(
        'migrations.AlterField("order", "by", models.ForeignKey("shop.team", models.CASCADE, null=True))'
    )
    found = shop.change(
        models.format("Team"),
        f"""
        team = Team.objects.create(pk=3, name="Blue")
        Order.objects.update(by=team)
        result = [trail(Order.objects.get()), state(Order, 1, {moment!r}), told("shop.Order", 1)]
        """,
    )
    assert [change["by"] for _, change in found[0]] == [[None, 2], [2, 1], [1, 3]]
    assert found[1]["values"].get("by", 2) == 2
    assert "Team object (3)" in found[2]


def test_a_table_with_another_name(shop: Shop) -> None:
    moment = shop.start(MODELS, FIRST)
    shop.add('migrations.AlterModelTable("order", "sales")')
    models = MODELS.replace(
        '    others = models.ManyToManyField("self")\n',
        '    others = models.ManyToManyField("self")\n\n    class Meta:\n        db_table = "sales"\n',
    )
    asked = f"""
order = Order.objects.get()
Order.objects.update(total=3, api_token="{SECRET}3")
order.tags.clear()
result = [trail(order), state(Order, 1, {moment!r})]
"""
    for found in (shop.change(models, asked), shop.go_back(MODELS, asked)):
        assert found[0][-1][1].get("total", [0, 3])[1] == 3
        assert found[1]["values"] == WAS
        assert found[1]["links"] == {"tags": [1], "others": []}


def test_a_model_that_is_deleted(shop: Shop) -> None:
    shop.start(MODELS, FIRST)
    shop.add('migrations.DeleteModel("Line")')
    found = shop.change(
        MODELS[: MODELS.index("class Line")],
        """
        Order.objects.update(total=3)
        result = [told("shop.Line", 1), trail(Order.objects.get())[-1]]
        """,
    )
    assert "Created" in found[0]
    assert found[1] == ["update", {"total": [2, 3]}]
    back = shop.go_back(
        MODELS,
        """
        line = Line.objects.create(order=Order.objects.get())
        result = trail(line)
        """,
    )
    assert back[-1] == ["create", {"order": [None, 1]}]


def test_links_that_come_and_go(shop: Shop) -> None:
    without = MODELS.replace("    tags = models.ManyToManyField(Tag)\n", "")
    first = FIRST.replace("order.tags.add(red)\n", "").replace("order.tags.set([blue])\n", "")
    moment = shop.start(without, first)
    shop.add('migrations.AddField("order", "tags", models.ManyToManyField("shop.tag"))')
    found = shop.change(
        MODELS,
        f"""
        order = Order.objects.get()
        for tag in Tag.objects.order_by("pk"):
            order.tags.add(tag)
        middle = now()
        Tag.objects.get(name="red").order_set.clear()
        result = [
            trail(order)[-3:], state(Order, 1, {moment!r}), state(Order, 1, middle)["links"],
            told("shop.Order", 1),
        ]
        """,
    )
    assert found[0] == [
        ["update", {"tags": {"added": [1], "removed": []}}],
        ["update", {"tags": {"added": [2], "removed": []}}],
        ["update", {"tags": {"added": [], "removed": [1]}}],
    ]
    assert found[1]["links"].get("tags", []) == []
    assert found[2] == {"tags": [1, 2], "others": [1]}
    back = shop.go_back(
        without,
        """
        order = Order.objects.get()
        order.others.clear()
        result = [trail(order)[-1], told("shop.Order", 1)]
        """,
    )
    assert back[0] == ["update", {"others": {"added": [], "removed": [1]}}]
    assert re.search(r"^  [Tt]ags$", back[1], re.M)


def test_links_that_move_to_another_table(shop: Shop) -> None:
    """They are still the same links."""
    moment = shop.start(MODELS, FIRST)
    links = 'models.ManyToManyField({}, db_table="labels")'
    shop.add(f"migrations.AlterField('order', 'tags', {links})".format("'shop.tag'"))
    asked = f"""
order = Order.objects.get()
order.tags.clear()
result = [trail(order)[-1], state(Order, 1, {moment!r})["links"], state(Order, 1, now())["links"]]
"""
    tags = "models.ManyToManyField(Tag)"
    there = shop.change(MODELS.replace(tags, links.format("Tag")), f"{asked}\norder.tags.add(1)")
    back = shop.go_back(MODELS, asked)
    for (_, change), then, now in (there, back):
        assert change["tags"]["added"] == []
        assert len(change["tags"]["removed"]) == 1
        assert then == {"tags": [1], "others": []}
        assert now == {"tags": [], "others": [1]}


# Writes between changes of the schema


@pytest.mark.parametrize("together", [True, False])
def test_writes_between_two_changes_of_the_schema(shop: Shop, together: bool) -> None:
    """Each row has its entry, under the names that the fields have at that time or later."""
    shop.start(ORDER, 'Order.objects.create(name="One", total=1)\nOrder.objects.create(name="B")')
    place = 'models.CharField(default="-", max_length=9)'
    steps = [
        'migrations.RunSQL("UPDATE shop_order SET count = 5 WHERE name = \'One\'", "")',
        f'migrations.AddField("order", "place", {place})',
        'fill("order", place="Rome")',
        rename_field("total", "amount"),
        'run("UPDATE shop_order SET amount = amount + 1")',
        'migrations.AlterField("order", "count", models.BigIntegerField(default=0))',
        'migrations.RunSQL("INSERT INTO shop_order (name, amount, count, place)'
        " VALUES ('C', 3, 0, '')\", \"\")",
        'migrations.RemoveField("order", "place")',
        'migrations.RunSQL("DELETE FROM shop_order WHERE name = \'B\'", "")',
    ]
    if together:
        shop.add(*steps)
    else:
        for step in steps:
            shop.add(step)
    models = ORDER.replace("total", "amount").replace("count = models.Int", "count = models.BigInt")
    found = shop.change(
        models,
        """
        result = [trail(Order(pk=pk)) for pk in (1, 2, 3)]
        names = Entry.objects.filter(model_label="shop.Order").exclude(action="rename")
        names = names.values_list("object_repr", "source")
        result.append(sorted(map(list, set(names))))
        """,
    )
    one, other, new, names = found
    assert [action for action, _ in one] == ["create", "update", "update", "update"]
    assert one[1][1] == {"count": [0, 5]}
    # It is no longer known whether the value is to be masked.
    assert one[2][1] in ({"place": ["-", "Rome"]}, {"place": {"masked": True}})
    assert one[3][1] in ({"amount": [1, 2]}, {"total": [1, 2]})
    assert [action for action, _ in other] == ["create", "update", "update", "delete"]
    assert [action for action, _ in new] == ["create"]
    assert new[0][1]["name"] == [None, "C"]
    assert names == [["B", "command"], ["C", "command"], ["One", "command"]]


@pytest.mark.parametrize("column", ["removed", "renamed"])
def test_a_column_that_goes_before_its_table_is_renamed(shop: Shop, column: str) -> None:
    """Its table has triggers, and a name that today's models do not know."""
    shop.start(ORDER, ORDERED)
    models = ORDER.replace("Order", "Sale")
    if column == "removed":
        models = models.replace("    total = models.IntegerField(default=0)\n", "")
        shop.add('migrations.RemoveField("order", "total")')
    else:
        models = models.replace("total", "amount")
        shop.add(rename_field("total", "amount"))
    shop.add("run(\"UPDATE shop_order SET name = 'Two'\")")
    shop.add('migrations.RenameModel("Order", "Sale")')
    found = shop.change(
        models, "Sale.objects.update(name='Three')\nresult = trail(Sale.objects.get())"
    )
    assert [action for action, _ in found[:2]] == ["create", "update"]
    assert found[-1] == ["update", {"name": ["Two", "Three"]}]


def test_a_column_that_goes_when_its_table_is_audited_no_longer(shop: Shop) -> None:
    shop.start(ORDER, ORDERED)
    apps = shop.folder / "apps.py"
    apps.write_text(apps.read_text().replace("self.get_models()", "()"))
    shop.add('migrations.RemoveField("order", "total")')
    shop.add(rename_field("count", "number"))
    found = shop.change(
        ORDER.replace("count", "number").replace(
            "    total = models.IntegerField(default=0)\n", ""
        ),
        "Order.objects.update(number=3)\nresult = Entry.objects.filter(action='update').count()",
    )
    assert found == 1


@pytest.mark.parametrize("comment", ["-- Nobody needs it.\\n", "/* Nobody\\nneeds it. */ "])
def test_a_comment_in_front_of_a_change_of_the_schema(shop: Shop, comment: str) -> None:
    shop.start(ORDER, ORDERED)
    shop.add(
        "migrations.SeparateDatabaseAndState("
        f'[migrations.RunSQL(["{comment}ALTER TABLE shop_order DROP COLUMN total"])],'
        ' [migrations.RemoveField("order", "total")])',
        'run("UPDATE shop_order SET count = 30")',
    )
    found = shop.change(
        ORDER.replace("    total = models.IntegerField(default=0)\n", ""),
        "result = trail(Order.objects.get())[-1]",
    )
    assert found == ["update", {"count": [20, 30]}]


def test_a_model_that_is_made_and_filled_in_one_plan(shop: Shop) -> None:
    shop.start(ORDER, ORDERED)
    shop.add(
        'migrations.CreateModel("Extra", [("id", models.BigAutoField(auto_created=True,'
        ' primary_key=True, serialize=False, verbose_name="ID")),'
        ' ("name", models.CharField(max_length=50))])'
    )
    shop.add("run(\"INSERT INTO shop_extra (name) VALUES ('One')\")")
    found = shop.change(
        ORDER + "\n\nclass Extra(models.Model):\n    name = models.CharField(max_length=50)\n",
        "result = trail(Extra.objects.get())",
    )
    assert found == [["create", {"name": [None, "One"]}]]


@pytest.mark.parametrize("atomic", [True, False])
def test_a_migrate_that_fails_leaves_the_trail_whole(shop: Shop, atomic: bool) -> None:
    """Writes that were rolled back are not on the trail; writes after the repair are."""
    moment = shop.start(ORDER, ORDERED)
    shop.add(rename_field("total", "amount"))
    shop.add('run("UPDATE shop_order SET count = 30", "SELECT no_such_thing")', atomic=atomic)
    shop.write(ORDER.replace("total", "amount"))
    shop.ask(
        """
        from django.db import DatabaseError
        try:
            migrate()
        except DatabaseError:
            pass
        else:
            raise AssertionError("It has not failed.")
        """
    )
    last = shop.folder / "migrations" / "0003_next.py"
    last.write_text(last.read_text().replace("SELECT no_such_thing", "SELECT 1"))
    found = shop.change(
        ORDER.replace("total", "amount"),
        f"""
        Order.objects.update(amount=3)
        result = [trail(Order.objects.get()), state(Order, 1, {moment!r})]
        """,
    )
    counts = [change["count"] for _, change in found[0] if "count" in change]
    assert counts[-1] == [20, 30] if atomic else counts[-1][1] == 30
    assert found[0][-1] == ["update", {"amount": [2, 3]}]
    assert found[1]["values"] == {"name": "One", "amount": 1, "count": 10}


DIE = "migrations.RunPython(lambda apps, editor: __import__('os')._exit(9))"


def die_in(shop: Shop, where: str, models: str) -> None:
    """Let a migrate end in the middle, in the place that is named."""
    rename = rename_field("total", "amount")
    match where:
        case "a later migration":
            shop.add(rename)
            shop.add(DIE)
        case "the same migration":
            shop.add(rename, DIE)
        case _:
            shop.add(rename)
    shop.write(models)
    code = "migrate()"
    if where == "after it":
        code = """
from django.db.migrations.executor import MigrationExecutor
apply = MigrationExecutor.apply_migration
def die(self, *arguments, **options):
    apply(self, *arguments, **options)
    os._exit(9)
MigrationExecutor.apply_migration = die
migrate()
"""
    done = shop.project.run("python", "proof.py", answers=code, DATABASE_URL=shop.url)
    assert done.returncode == 9, done.stderr


@pytest.mark.parametrize("where", ["a later migration", "the same migration", "after it"])
def test_a_migrate_that_dies_is_mended_by_the_next(shop: Shop, where: str) -> None:
    """A check says what is missing; the rename that was applied is known in the end."""
    moment = shop.start(ORDER, ORDERED)
    models = ORDER.replace("total", "amount")
    die_in(shop, where, models)
    path = shop.folder / "migrations" / f"{shop.number:04}_next.py"
    path.write_text(
        path.read_text().replace(DIE, "migrations.RunPython(migrations.RunPython.noop)")
    )
    between = shop.ask("")
    assert bool(between.faults) == (between.check != SILENT)
    if between.faults:
        assert "migrate" in between.check
        assert all("migrate" in fault for fault in between.faults)
    found = shop.change(
        models,
        f"""
        Order.objects.update(amount=3)
        result = [trail(Order.objects.get()), state(Order, 1, {moment!r}), told("shop.Order", 1), renames()]
        """,
    )
    assert found[0][-1] == ["update", {"amount": [2, 3]}]
    assert found[1]["values"] == {"name": "One", "amount": 1, "count": 10}
    assert re.search(r"^  Amount\n +- 1\n +\+ 2$", found[2], re.M)
    assert found[3] == [["shop.Order", "", {"amount": {"renamed": "total"}}]]


def test_a_trigger_that_somebody_dropped_is_put_back_by_a_migrate(shop: Shop) -> None:
    """Although it has no migration to apply, and although a check has said so."""
    shop.start(ORDER, ORDERED)
    said = shop.ask(
        """
        names = [name for name in triggers.Triggers(connection).found if "shop_order" in name]
        on = " ON shop_order" if connection.vendor == "postgresql" else ""
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TRIGGER {name}{on}")
        result = len(names)
        """
    )
    assert said.result == len(said.faults)
    assert said.result >= 3
    assert "migrate" in said.check
    done = shop.project.run("python", "manage.py", "migrate", DATABASE_URL=shop.url)
    assert done.returncode == 0, done.stderr
    found = shop.run("Order.objects.update(total=3)\nresult = trail(Order.objects.get())[-1]")
    assert found == ["update", {"total": [2, 3]}]


def test_a_rename_that_is_applied_once_is_on_the_trail_once(shop: Shop) -> None:
    """However often the project is migrated after it, and also when nothing is left to do."""
    shop.start(ORDER, ORDERED)
    shop.add(rename_field("total", "amount"))
    found = shop.change(
        ORDER.replace("total", "amount"), "migrate()\nmigrate('shop')\nresult = renames()"
    )
    assert len(found) == 1
    assert shop.run("migrate()\nresult = renames()") == found


def test_a_rename_in_a_plan_for_a_new_database_is_none(shop: Shop) -> None:
    """Where nothing was recorded before, the names of today are the only ones."""
    shop.write(ORDER)
    shop.ask("call_command('makemigrations', 'shop', verbosity=0)")
    shop.add(rename_field("total", "amount"))
    found = shop.change(
        ORDER.replace("total", "amount"),
        """
        order = Order.objects.create(name="One", amount=1)
        result = [trail(order), state(Order, 1, now())["values"]]
        """,
    )
    assert found == [
        [["create", {"name": [None, "One"], "amount": [None, 1], "count": [None, 0]}]],
        {"name": "One", "amount": 1, "count": 0},
    ]


def test_a_rename_in_a_database_without_the_trail(shop: Shop) -> None:
    """The migrations of an app may run before those of the trail, or where a router keeps it away."""
    shop.start(ORDER, ORDERED)
    shop.add(rename_field("total", "amount"), 'migrations.RenameModel("Order", "Sale")')
    shop.write(ORDER.replace("total", "amount").replace("Order", "Sale"))
    found = shop.run(
        """
        migrate("audit", "zero")
        migrate("shop")
        migrate()
        Sale.objects.update(amount=3)
        result = [trail(Sale.objects.get()), renames()]
        """
    )
    assert found == [[["update", {"amount": [2, 3]}]], []]


def test_migrations_that_are_written_again_rename_nothing(shop: Shop) -> None:
    """To take them back for show alone changes no name."""
    moment = shop.start(ORDER, ORDERED)
    shop.add(rename_field("total", "amount"), 'migrations.RenameModel("Order", "Sale")')
    models = ORDER.replace("total", "amount").replace("Order", "Sale")
    shop.change(models, "migrate('shop', 'zero', '--fake')")
    for path in shop.folder.glob("migrations/0*.py"):
        path.unlink()
    found = shop.run(
        f"""
        call_command("makemigrations", "shop", verbosity=0)
        migrate("--fake-initial")
        Sale.objects.update(amount=3)
        result = [trail(Sale.objects.get()), state(Sale, 1, {moment!r})]
        """
    )
    assert [action for action, _ in found[0]] == ["create", "update", "update"]
    assert found[1]["values"] == {"name": "One", "amount": 1, "count": 10}


# A module that goes and comes again


@pytest.mark.parametrize("tables", ["kept", "dropped"])
def test_a_module_taken_out_and_put_back_keeps_its_history(shop: Shop, tables: str) -> None:
    moment = shop.start(MODELS, FIRST)
    settings = shop.project.path / "config" / "settings.py"
    text = settings.read_text(encoding="utf-8")
    if tables == "dropped":
        shop.ask("migrate('shop', 'zero')")
    settings.write_text(text.replace('    "apps.shop",\n', ""), encoding="utf-8")
    shop.run(
        "migrate()\n"
        "call_command('remove_stale_contenttypes', include_stale_apps=True, interactive=False,"
        " verbosity=0)\n"
        "from django.contrib.contenttypes.models import ContentType\n"
        "assert not ContentType.objects.filter(app_label='shop').exists()\n"
    )
    settings.write_text(text, encoding="utf-8")
    made = "" if tables == "kept" else 'Order.objects.create(pk=1, name="One")\n'
    found = shop.run(
        f"migrate()\n{made}"
        "Order.objects.update(total=3)\n"
        f"result = [trail(Order.objects.get()), told('shop.Order', 1), state(Order, 1, {moment!r})]"
    )
    assert found[0][0][0] == "create"
    assert found[0][-1][1]["total"][1] == 3
    assert re.search(r"^  Name\n +- One\n +\+ Two$", found[1], re.M)
    if tables == "kept":
        assert found[2]["values"] == WAS
        assert found[2]["links"] == {"tags": [1], "others": []}


def test_a_model_that_is_audited_no_longer_and_again(shop: Shop) -> None:
    """Its triggers go with the next migrate, which has nothing else to do, and come back."""
    shop.start(ORDER, ORDERED)
    apps = shop.folder / "apps.py"
    text = apps.read_text()
    apps.write_text(text.replace("self.get_models()", "()"))
    count = "result = Entry.objects.filter(model_label='shop.Order').count()"
    before = shop.run(f"migrate()\nOrder.objects.update(total=3)\n{count}")
    apps.write_text(text)
    assert "migrate" in shop.ask("").check
    after = shop.run(f"migrate()\nOrder.objects.update(total=4)\n{count}")
    assert (before, after) == (2, 3)
