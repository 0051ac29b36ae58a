"""A trail in partitions on PostgreSQL, made and pruned by the SQL and Python of the documentation."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction

from apps.audit import seals, triggers
from apps.audit.models import Entry, Seal

from ..examples.models import Author

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no partitions"),
]


def blocks(language: str) -> list[str]:
    """Return the examples of the page in a language that are about partitions, in their order."""
    text = (Path(settings.BASE_DIR) / "docs" / "audit.md").read_text(encoding="utf-8")
    section = text.partition("### Partitions")[2].partition("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run(sql: str, *bounds: int) -> Any:
    """Run SQL of the page, with these bounds instead of those of the example."""
    for number, bound in zip((200_000_001, 240_000_001, 280_000_001), bounds, strict=False):
        sql = sql.replace(str(number), str(bound))
    with connection.cursor() as cursor:
        cursor.execute(re.sub(r"^(BEGIN|COMMIT);$", "", sql, flags=re.MULTILINE))
        return cursor.fetchall() if cursor.description else None


def where() -> list[str]:
    sql = "SELECT tableoid::regclass::text, min(id) FROM audit_entry GROUP BY 1 ORDER BY 2"
    return [table for table, _ in run(sql)]


@pytest.fixture
def bound() -> int:
    """Put the trail into partitions, of which the first ends at the next id but one."""
    Author.objects.create(name="Before")
    ((last,),) = run("SELECT last_value FROM audit_entry_id_seq")
    first, *_ = blocks("sql")
    run(first, last + 2, last + 4)
    triggers.install(connection)
    assert triggers.faults(connection) == []
    return int(last) + 2


def write(count: int) -> None:
    for number in range(count):
        Author.objects.create(name=f"Author {number}")


def test_entries_go_on_in_the_next_partition_and_cannot_be_changed(bound: int) -> None:
    before = Entry.objects.latest("pk").pk
    write(5)
    assert Entry.objects.filter(pk__gt=before).count() == 5
    assert where() == ["audit_entry_1", "audit_entry_2", "audit_entry_rest"]
    for table in ("audit_entry", *where()):
        for sql in ("UPDATE {} SET source = 'x'", "DELETE FROM {}"):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                run(sql.format(table))


def test_a_partition_is_pruned_by_detaching_it(bound: int) -> None:
    write(5)
    _, *later = blocks("sql")
    (program,) = blocks("python")
    exec(program.replace("200_000_000", str(bound - 1)), {})  # noqa: S102
    run(later[-1])
    assert where() == ["audit_entry_2", "audit_entry_rest"]
    assert list(seals.verify("default")) == []
    assert Seal.objects.filter(kind=Seal.Kind.PRUNING).get().until == bound - 1
    assert seals.prune(Entry.objects.filter(pk__lt=bound + 2).order_by("pk")) == 2
    assert list(seals.verify("default")) == []


def test_a_partition_that_is_truncated_is_found(bound: int) -> None:
    write(5)
    assert list(seals.seal("default"))
    run("TRUNCATE audit_entry_2")
    kinds = {finding.kind for finding in seals.verify("default")}
    assert kinds == {"removed"}


def test_a_further_partition_is_added_in_time(bound: int) -> None:
    _, further, *_ = blocks("sql")
    run(further, bound, bound + 2, bound + 4)
    write(5)
    assert where()[:3] == ["audit_entry_1", "audit_entry_2", "audit_entry_3"]
