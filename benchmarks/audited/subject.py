"""Write with one recorder installed; print what it cost, as lines of JSON.

Started by ``benchmarks/audit.py``, in a separate environment:
``python subject.py RECORDER DATABASE FOLDER``, where the folder holds the
project's ``apps`` and RECORDER is a key of ``RECORDERS``. The first line names the
operations; then each line of the input, ``count OPERATION``, ``time OPERATION`` or ``size``,
is answered with one.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction

SINGLE, BULK = 200, 1000

DJANGO = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]


@dataclass(frozen=True)
class Recorder:
    """A package: its apps, how it is told of the models, and the tables that it fills."""

    apps: list[str] = field(default_factory=list)
    start: Callable[[], None] = lambda: None
    tables: Callable[[], list[Any]] = list
    settings: dict[str, Any] = field(default_factory=dict)
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    # The further writes of the program. The floor has some.
    writes: bool = False
    # Tables that it fills besides, whose rows are no entries.
    besides: tuple[str, ...] = ()


def start_ours() -> None:
    from apps.audit import registry

    registry.register("audited.Article")


def someone() -> Any:
    """Return who acts, as the middleware of a recorder would find them in a request."""
    if not hasattr(someone, "user"):
        someone.user = get_user_model().objects.create_user("someone")  # type: ignore[attr-defined]
    return someone.user  # type: ignore[attr-defined]


def acting() -> AbstractContextManager[Any]:
    from apps.core.actor import acting_as

    return acting_as(someone())


def start_auditlog() -> None:
    from auditlog.registry import auditlog

    auditlog.register(model("Article"), m2m_fields={"tags"})


def start_simple_history() -> None:
    from simple_history import register

    register(model("Article"), app="audited", m2m_fields=[model("Article")._meta.get_field("tags")])


def start_reversion() -> None:
    import reversion

    reversion.register(model("Article"))


def in_a_revision() -> AbstractContextManager[Any]:
    import reversion

    return reversion.create_revision()


def start_pghistory() -> None:
    import pghistory

    events = pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent()
    pghistory.track(*events)(model("Article"))

    links = pghistory.InsertEvent(), pghistory.DeleteEvent()
    pghistory.track(*links)(model("Article").tags.through)


def in_a_context() -> AbstractContextManager[Any]:
    import pghistory

    return pghistory.context(user=someone().pk)


def model(name: str) -> Any:
    return apps.get_model("audited", name)


def named(*labels: str) -> Callable[[], list[Any]]:
    return lambda: [apps.get_model(label) for label in labels]


def in_tables_called(word: str) -> Callable[[], list[Any]]:
    return lambda: [
        one for one in apps.get_app_config("audited").get_models() if word in one.__name__
    ]


RECORDERS = {
    "no audit": Recorder(),
    "one more INSERT": Recorder(tables=named("audited.Log"), writes=True),
    "ours": Recorder(["apps.audit"], start_ours, named("audit.Entry"), around=acting),
    "django-auditlog": Recorder(["auditlog"], start_auditlog, named("auditlog.LogEntry")),
    "django-simple-history": Recorder(
        ["simple_history"], start_simple_history, in_tables_called("HistoricalArticle")
    ),
    "django-reversion": Recorder(
        ["reversion"],
        start_reversion,
        named("reversion.Version"),
        around=in_a_revision,
        besides=("reversion_revision",),
    ),
    "django-easy-audit": Recorder(
        ["easyaudit"],
        tables=named("easyaudit.CRUDEvent"),
        settings={
            "DJANGO_EASY_AUDIT_WATCH_AUTH_EVENTS": False,
            "DJANGO_EASY_AUDIT_WATCH_REQUEST_EVENTS": False,
            "DJANGO_EASY_AUDIT_REGISTERED_CLASSES": ["audited.Article"],
        },
    ),
    "django-pghistory": Recorder(
        ["pgtrigger", "pghistory"],
        start_pghistory,
        in_tables_called("Event"),
        around=in_a_context,
        besides=("pghistory_context",),
    ),
}


@dataclass(frozen=True)
class Operation:
    """Something to do: what is made ready beforehand, and the writes, ``rows`` in all."""

    rows: int
    prepare: Callable[[], Any]
    write: Callable[[Any], Iterable[None]]
    action: str = "update"


def new(count: int) -> list[Any]:
    article, author = model("Article"), model("Author").objects.first()
    return [
        article(
            title=f"Title {number}",
            body="Text " * 50,
            published_at=datetime(2026, 1, 1, tzinfo=UTC),
            author=author,
        )
        for number in range(count)
    ]


def loaded(count: int) -> Callable[[], list[Any]]:
    def load() -> list[Any]:
        model("Article").objects.bulk_create(new(count))
        return list(model("Article").objects.order_by("-pk")[:count])

    return load


def create(articles: list[Any]) -> Iterable[None]:
    for article in articles:
        article.save()
        yield


def update(articles: list[Any]) -> Iterable[None]:
    for number, article in enumerate(articles):
        article.title = f"New title {number}"
        article.status = 2
        article.save()
        yield


def save_unchanged(articles: list[Any]) -> Iterable[None]:
    for article in articles:
        article.save()
        yield


def delete(articles: list[Any]) -> Iterable[None]:
    for article in articles:
        article.delete()
        yield


def add_a_link(articles: list[Any]) -> Iterable[None]:
    tag = model("Tag").objects.all()[0]
    for article in articles:
        article.tags.add(tag)
        yield


def linked() -> list[Any]:
    articles = loaded(SINGLE)()
    list(add_a_link(articles))
    return articles


def remove_a_link(articles: list[Any]) -> Iterable[None]:
    tag = model("Tag").objects.all()[0]
    for article in articles:
        article.tags.remove(tag)
        yield


def bulk_create(articles: list[Any]) -> Iterable[None]:
    model("Article").objects.bulk_create(articles)
    yield


def bulk_update(articles: list[Any]) -> Iterable[None]:
    for number, article in enumerate(articles):
        article.title = f"New title {number}"
    model("Article").objects.bulk_update(articles, ["title"])
    yield


def queryset_update(articles: list[Any]) -> Iterable[None]:
    model("Article").objects.filter(pk__gte=articles[-1].pk).update(status=3)
    yield


def queryset_delete(articles: list[Any]) -> Iterable[None]:
    model("Article").objects.filter(pk__gte=articles[-1].pk).delete()
    yield


OPERATIONS = {
    "create": Operation(SINGLE, lambda: new(SINGLE), create, "create"),
    "update": Operation(SINGLE, loaded(SINGLE), update),
    "save unchanged": Operation(SINGLE, loaded(SINGLE), save_unchanged),
    "delete": Operation(SINGLE, loaded(SINGLE), delete, "delete"),
    "m2m add": Operation(SINGLE, loaded(SINGLE), add_a_link),
    "m2m remove": Operation(SINGLE, linked, remove_a_link),
    "bulk_create": Operation(BULK, lambda: new(BULK), bulk_create, "create"),
    "bulk_update": Operation(BULK, loaded(BULK), bulk_update),
    "QuerySet.update": Operation(BULK, loaded(BULK), queryset_update),
    "QuerySet.delete": Operation(BULK, loaded(BULK), queryset_delete, "delete"),
}


def log(action: str, count: int) -> None:
    """Write what a trail at the least has to write."""
    entries = [
        model("Log")(
            created_at=datetime.now(UTC),
            action=action,
            model_label="audited.Article",
            object_id=str(number),
            object_repr="Title",
            actor_name="",
            changes={"title": {"old": "Title", "new": "New title"}, "status": {"old": 1, "new": 2}},
        )
        for number in range(count)
    ]
    if count == 1:
        entries[0].save(force_insert=True)
    else:
        model("Log").objects.bulk_create(entries)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Count statements, not those that begin or end a transaction."""
    statements: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        if not sql.startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")):
            statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        yield statements


def process_of_server() -> int:
    """Return the id of this connection's process of a PostgreSQL on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def share_one_core() -> None:
    """Let this process and the server's take turns on one core, if they may be told to.

    On two they wake each other for every statement, and the CPU time of that varies by half.
    """
    core = {max(os.sched_getaffinity(0))}
    with suppress(PermissionError):
        os.sched_setaffinity(process_of_server(), core)
        os.sched_setaffinity(0, core)


def seconds_of_server() -> float:
    """Return the seconds that the server's process has worked."""
    if connection.vendor != "postgresql":
        return 0.0
    schedstat = Path(f"/proc/{process_of_server()}/schedstat").read_text()
    return int(schedstat.split()[0]) / 1e9


def measure(recorder: Recorder, operation: Operation, *, timing: bool) -> dict[str, float]:
    """Do an operation; return the seconds that it took, or else its statements and entries."""
    prepared = operation.prepare()
    before = entries_of(recorder)
    watching: AbstractContextManager[list[str]] = nullcontext([]) if timing else counted()
    with watching as counting:
        server, client = seconds_of_server(), time.process_time()
        # In one transaction, or the time would be that of commits.
        with transaction.atomic():
            do(recorder, operation, prepared)
        seconds = time.process_time() - client + seconds_of_server() - server
    found: dict[str, float] = {"seconds": seconds, "written": operation.rows}
    if not timing:
        # Queries for the time of the server and for the tag of the links.
        asked = 2 if connection.vendor == "postgresql" else 0
        asked += "link" in operation.write.__name__
        writes = operation.rows if operation.rows == SINGLE else 1
        found |= {"statements": round((len(counting) - asked) / writes, 2)}
        found["rows"] = entries_of(recorder) - before
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audited_article_tags")
        cursor.execute("DELETE FROM audited_article")
    return found


def entries_of(recorder: Recorder) -> int:
    """Count what a recorder has written so far."""
    return sum(table.objects.count() for table in recorder.tables())


def size(recorder: Recorder) -> dict[str, float]:
    """Return how many bytes the tables of a recorder take, with their indexes, and its entries."""
    tables = [*(table._meta.db_table for table in recorder.tables()), *recorder.besides]
    found = 0
    with connection.cursor() as cursor:
        for table in tables:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_total_relation_size(%s)", [table])
            else:
                cursor.execute(
                    "SELECT sum(pgsize) FROM dbstat WHERE name IN"
                    " (SELECT name FROM sqlite_master WHERE tbl_name = %s)",
                    [table],
                )
            found += cursor.fetchone()[0]
    return {"bytes": found, "entries": entries_of(recorder)}


def do(recorder: Recorder, operation: Operation, prepared: Any) -> None:
    """Do an operation; with the floor, each of its writes is followed by an INSERT."""
    if operation.rows == SINGLE:
        writes = iter(operation.write(prepared))
        for _ in range(operation.rows):
            with recorder.around():
                next(writes)
                if recorder.writes:
                    log(operation.action, 1)
    else:
        with recorder.around():
            list(operation.write(prepared))
            if recorder.writes:
                log(operation.action, operation.rows)


def main() -> None:
    name, database, folder = sys.argv[1:]
    recorder = RECORDERS[name]
    sys.path[:0] = [folder, str(Path(__file__).resolve().parent.parent)]
    from config import environment

    uses_project = "apps.audit" in recorder.apps
    settings.configure(
        DATABASES={"default": environment.database(database)},
        INSTALLED_APPS=[
            *(["apps.core", "apps.accounts"] if uses_project else []),
            *DJANGO,
            "audited",
            *recorder.apps,
        ],
        AUTH_USER_MODEL="accounts.User" if uses_project else "auth.User",
        # Its tables are made of the models as they are, with what the recorder has added.
        MIGRATION_MODULES={"audited": None},
        USE_TZ=True,
        SIGNAL_TRACING=False,
        SECRET_KEY="benchmark",  # noqa: S106
        STATIC_URL="/static/",
        **recorder.settings,
    )
    django.setup()
    recorder.start()
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    if "pgtrigger" in recorder.apps:
        call_command("pgtrigger", "install", verbosity=0)
    someone()
    model("Author").objects.create(name="Author")
    model("Tag").objects.create(name="Tag")
    if connection.vendor == "postgresql":
        share_one_core()
    print(json.dumps(list(OPERATIONS)), flush=True)
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "size":
            print(json.dumps(size(recorder)), flush=True)
            continue
        print(json.dumps(measure(recorder, OPERATIONS[name], timing=word == "time")), flush=True)


if __name__ == "__main__":
    main()
