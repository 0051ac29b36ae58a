"""The admin with many entries: few queries, none of which reads or counts the whole trail.

``AUDIT_ROWS=1000000 uv run pytest -s apps/audit/tests/test_many.py`` does the same with a million
entries, and prints how long each page takes.
"""

import os
import re
import sys
import time
from typing import Any, Final

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.admin import Pages
from apps.audit.models import Entry

from ..examples.models import Author
from .test_admin import leads

pytestmark = pytest.mark.django_db

ROWS: Final = int(os.environ.get("AUDIT_ROWS", "2000"))
FEW: Final = 9
LIST: Final = "/admin/audit/entry/"

NUMBERS: Final = {
    "postgresql": "SELECT n FROM generate_series(1, %s) AS numbers (n)",
    "sqlite": (
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)"
        " SELECT n FROM numbers"
    ),
}
JSON: Final = {
    "postgresql": "jsonb_build_object('name', jsonb_build_object('old', 'Name ' || n, 'new', 'N'))",
    "sqlite": "json_object('name', json_object('old', 'Name ' || n, 'new', 'N'))",
}


def fill(actor: Any) -> None:
    """Add entries in one statement: of two models, hundreds of objects, by five actors or none."""
    statement = f"""
        INSERT INTO audit_entry (created_at, action, model_label, object_id,
            object_repr, actor_id, actor_name, source, request_id, changes)
        SELECT %s,
            CASE WHEN n %% 3 = 0 THEN 'create' ELSE 'update' END,
            CASE WHEN n %% 1000 = 7 THEN 'audit_examples.Tag' ELSE 'audit_examples.Author' END,
            CAST(n %% 500 AS text),
            'Object ' || (n %% 500),
            CASE WHEN n %% 2 = 0 THEN NULL WHEN n %% 1000 = 9 THEN 777
                 WHEN n %% 5 = 0 THEN %s ELSE 10000 + n %% 5 END,
            CASE WHEN n %% 2 = 0 THEN '' ELSE 'somebody' END,
            'request',
            'request-' || n,
            {JSON[connection.vendor]}
        FROM ({NUMBERS[connection.vendor]}) AS numbers
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, [timezone.now(), actor.pk, ROWS])
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE audit_entry")


def pages(actor: Any, middle: int) -> dict[str, str]:
    author = "model=audit_examples.Author"
    return {
        "the list": LIST,
        "an older page": f"{LIST}?p={min(ROWS // 100, Pages.count // 50)}",
        "a model with many entries": f"{LIST}?{author}",
        "a model with few entries": f"{LIST}?model=audit_examples.Tag",
        "a model and an action": f"{LIST}?{author}&action=update",
        "an actor": f"{LIST}?actor={actor.pk}",
        "an actor who did little": f"{LIST}?actor=777",
        "an actor who did nothing": f"{LIST}?actor=999999",
        "the system": f"{LIST}?actor__isnull=True&actor_name=",
        "today": f"{LIST}?created_at__gte={timezone.now():%Y-%m-%d}+00:00:00%2B00:00",
        "a time without entries": f"{LIST}?created_at__lt=2000-01-01+00:00:00%2B00:00",
        "a source without entries": f"{LIST}?source=database",
        "a request": f"{LIST}?request_id=request-{ROWS // 2}",
        "a key": f"{LIST}?q=77",
        "a name": f"{LIST}?q=object+77",
        "a name that nothing has": f"{LIST}?q=nothing",
        "the history of an object": f"{LIST}of/audit_examples.Author/77/",
        "an older page of it": f"{LIST}of/audit_examples.Author/77/?p={max(ROWS // 20000, 1)}",
        "an entry": f"{LIST}{middle}/change/",
    }


def test_each_page_takes_few_queries_and_counts_nothing(
    admin_client: Any, admin_user: Any, capsys: pytest.CaptureFixture
) -> None:
    fill(admin_user)
    last = Entry.objects.latest("pk").pk
    admin_client.get(LIST)
    for name, url in pages(admin_user, last - ROWS // 2).items():
        started = time.perf_counter()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            response = admin_client.get(url)
        took = time.perf_counter() - started
        assert response.status_code == 200, name
        statements = [query["sql"] for query in captured]
        assert len(statements) <= FEW, (name, statements)
        for sql in statements:
            assert "COUNT(" not in sql, (name, sql)
            # Renamings are read as wholes: there are few, and an index finds them.
            if is_of_entries(sql):
                assert re.search(r'LIMIT \d+|"audit_entry"."id" (=|IN) ', sql), (name, sql)
        if ROWS > 2000:
            with capsys.disabled():
                sys.stderr.write(f"{took * 1000:7.0f} ms, {len(statements)} queries: {name}\n")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_preview_takes_few_queries_and_reads_one_object(
    admin_client: Any, admin_user: Any, is_there: bool, capsys: pytest.CaptureFixture
) -> None:
    fill(admin_user)
    if is_there:
        Author(pk=77, name="Ada").save()
        Author.objects.filter(pk=77).update(name="Bob")
    middle = Entry.objects.latest("pk").pk - ROWS // 2
    entry = Entry.objects.filter(object_id="77", action="update", pk__lte=middle).latest("pk")
    admin_client.get(LIST)
    started = time.perf_counter()
    with CaptureQueriesContext(connection) as captured:
        response = admin_client.get(f"{LIST}{entry.pk}/bring-back/")
    took = time.perf_counter() - started
    assert response.status_code == 200
    statements = [query["sql"] for query in captured]
    assert len(statements) <= FEW, statements
    read = [sql for sql in statements if is_of_entries(sql)]
    own, *others = sorted(read, key=len)
    assert '"audit_entry"."id" = ' in own
    assert others
    for sql in others:
        assert "audit_object" in plan_of(sql), sql
    if ROWS > 2000:
        with capsys.disabled():
            sys.stderr.write(f"{took * 1000:7.0f} ms, {len(statements)} queries: a preview\n")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", ""),
        ("?p=2", ""),
        ("?actor=777", "audit_actor"),
        ("?model=audit_examples.Author", ""),
        ("of/audit_examples.Author/77/", "audit_object"),
    ],
)
def test_an_index_finds_what_a_page_shows(
    admin_client: Any, admin_user: Any, query: str, index: str
) -> None:
    fill(admin_user)
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(f"{LIST}{query}")
    found = [query["sql"] for query in captured if is_of_entries(query["sql"])]
    plans = [plan_of(sql) for sql in found if "LIMIT" in sql]
    if index:
        assert any(index in plan for plan in plans), plans
    else:
        # By the key, backwards, until the page is full.
        key = {"sqlite": r"^(SCAN|SEARCH) audit_entry( USING INTEGER PRIMARY KEY.*)?$",
               "postgresql": r"Index (Only )?Scan Backward using audit_entry_pkey"}  # fmt: skip
        assert re.search(key[connection.vendor], plans[-1], re.MULTILINE), plans


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no such statistics")
def test_a_model_with_few_entries_is_found_by_an_index(admin_client: Any, admin_user: Any) -> None:
    fill(admin_user)
    with CaptureQueriesContext(connection) as captured:
        admin_client.get(f"{LIST}?model=audit_examples.Tag")
    entries = [query["sql"] for query in captured if is_of_entries(query["sql"])]
    assert "audit_object" in plan_of(
        next(sql for sql in entries if "LIMIT" in sql and "model_label" in sql)
    )


def test_a_filter_without_an_index_looks_through_the_latest_entries(
    admin_client: Any, admin_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(admin_user)
    monkeypatch.setattr(Pages, "count", 100)
    last = Entry.objects.latest("pk").pk
    notice = b"This looks through the latest 100 entries."
    for name, value in (("action", "update"), ("source", "request")):
        url, shown = f"{LIST}?{name}={value}", []
        while url:
            response = admin_client.get(url)
            changelist = response.context["cl"]
            shown += [entry.pk for entry in changelist.result_list]
            older = leads(response, "next")
            assert (notice in response.content) == (not older)
            url = older and f"{LIST}{older}"
        expected = Entry.objects.filter(**{name: value, "pk__gt": last - 100})
        assert shown == [*expected.values_list("pk", flat=True)]
    by_actor = admin_client.get(f"{LIST}?actor=777").context["cl"].result_list
    assert by_actor[len(by_actor) - 1].pk < last - 100
    assert notice not in admin_client.get(f"{LIST}?actor=999999").content


def is_of_entries(sql: str) -> bool:
    """Whether a query reads entries, and not only renamings, which have an index."""
    return 'FROM "audit_entry"' in sql and 'WHERE "audit_entry"."action" = \'rename\'' not in sql


def plan_of(sql: str) -> str:
    """Ask the database how it finds the rows; a table so small would be read as a whole."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {sql}")
        return "\n".join(row[-1] for row in cursor.fetchall())


def test_all_pages_together_show_every_entry_once(admin_client: Any, admin_user: Any) -> None:
    fill(admin_user)
    expected = list(Entry.objects.filter(model_label="audit_examples.Author"))[:2000]
    seen: list[Entry] = []
    url = f"{LIST}?model=audit_examples.Author"
    while url and len(seen) < 2000:
        response = admin_client.get(url)
        seen += response.context["cl"].result_list
        older = leads(response, "next")
        url = older and f"{LIST}{older}"
    assert seen[:2000] == expected
