"""Runs inside a baked project and measures a long audit trail; the last line is JSON.

``python growth.py SHORT LONG ENTRIES ROUNDS``, where SHORT and LONG are URLs of databases.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from config import environment
from config import settings as project

SHORT, LONG = (environment.database(url) for url in sys.argv[1:3])
ENTRIES, ROUNDS = (int(word) for word in sys.argv[3:5])
# Development's settings, but no list of statements, which would grow.
project.DEBUG, project.ALLOWED_HOSTS = False, ["localhost"]
project.DATABASES["short"] = project.DATABASES["default"] | SHORT
project.DATABASES["default"] |= LONG
django.setup()

from apps.accounts.models import User  # noqa: E402
from apps.audit import seals  # noqa: E402
from apps.audit.models import Entry, Seal  # noqa: E402
from apps.core.actor import acting_as  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

DAYS, WRITES, FEW, CHANGES = 365, 200, 1000, 100
LIST = "/admin/audit/entry/"
# A year of orders, customers and users, of 20 entries each, and one object that never rests. Three
# in ten entries have no actor; the others are by a thousand users.
FILL = """
    INSERT INTO audit_entry (created_at, action, model_label, object_id, object_repr,
        actor_id, actor_name, source, request_id, changes)
    SELECT now() - make_interval(secs => 86400.0 * %(days)s * (%(entries)s - n) / %(entries)s),
        CASE n %% 20 WHEN 0 THEN 'create' WHEN 1 THEN 'delete' ELSE 'update' END,
        CASE WHEN n %% 10 < 6 THEN 'shop.Order' WHEN n %% 10 < 9 THEN 'shop.Customer'
             WHEN n %% 5000 = 9 THEN 'shop.Voucher' ELSE 'accounts.User' END,
        CASE WHEN n %% 1000 = 4 THEN 1 ELSE 1000000 + n * 7919 %% (%(entries)s / 20 + 1) END::text,
        'Order of customer ' || n * 7919 %% (%(entries)s / 20 + 1),
        CASE WHEN n %% 10 > 2 THEN 1000000 + n * 31 %% 1000 END,
        CASE WHEN n %% 10 > 2 THEN 'person-' || n * 31 %% 1000 ELSE '' END,
        CASE WHEN n %% 10 > 2 THEN 'request' ELSE 'job' END,
        md5((n / 2)::text),
        CASE WHEN n %% 20 < 2
            THEN jsonb_build_object(
                'number', jsonb_build_object('old', null, 'new', n),
                'customer', jsonb_build_object('old', null, 'new', n %% 70000),
                'status', jsonb_build_object('old', null, 'new', 'open'),
                'total', jsonb_build_object('old', null, 'new', '199.90'),
                'address', jsonb_build_object('old', null, 'new', 'Some street ' || n %% 100),
                'placed_at', jsonb_build_object('old', null, 'new', '2026-01-01T12:00:00+00:00'))
            ELSE jsonb_build_object(
                'status', jsonb_build_object('old', 'open', 'new', 'paid'),
                'note', jsonb_build_object('old', '', 'new', 'Paid by invoice ' || n)) END
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
"""


def say(text: str) -> None:
    """Tell how far it has come; standard output is for the figures."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def execute(sql: str, values: Any = None, using: str = "default") -> Any:
    with connections[using].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else None


def cpu_seconds(using: str = "default") -> float:
    """Return the CPU time of this process and of the server's process of a connection."""
    ((pid,),) = execute("SELECT pg_backend_pid()", using=using)
    server = int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return server + time.process_time()


class Clock:
    """How long a block takes: ``seconds`` by the clock and ``cpu``, which others do not disturb."""

    seconds = cpu = 0.0


@contextmanager
def clocked(using: str = "default") -> Iterator[Clock]:
    clock, cpu, start = Clock(), cpu_seconds(using), time.perf_counter()
    yield clock
    clock.seconds, clock.cpu = time.perf_counter() - start, cpu_seconds(using) - cpu


@contextmanager
def highest_memory(into: list[float]) -> Iterator[None]:
    """Append the most megabytes that this process has while a block runs."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    yield
    status = Path("/proc/self/status").read_text(encoding="ascii")
    into.append(round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1))


def fill(first: int, last: int) -> dict[str, float]:
    """Add some of the entries in one statement; return the seconds that it and a vacuum take."""
    found = {}
    numbers = {"days": DAYS, "entries": ENTRIES, "first": first, "last": last}
    for name, sql, values in (
        ("insert", FILL, numbers),
        ("vacuum", "VACUUM (FREEZE, ANALYZE) audit_entry", None),
    ):
        with clocked() as clock:
            execute(sql, values)
        found[name] = round(clock.seconds, 1)
    return found


def some_users(using: str) -> list[User]:
    names = (f"{time.time_ns()}-{number}" for number in range(WRITES))
    return [User(username=name, email=f"{name}@example.com") for name in names]


def write_in(using: str) -> dict[str, Clock]:
    """Create, change, link and delete some users, each kind in a separate transaction."""
    users, group = some_users(using), Group.objects.using(using).get()

    def change(user: User) -> None:
        user.first_name, user.last_name = "Ada", "Byron"
        user.save(using=using)

    writes: dict[str, Callable[[User], object]] = {
        "create": lambda user: user.save(using=using),
        "update": change,
        "link": lambda user: user.groups.add(group),
        "delete": lambda user: user.delete(using=using),
    }
    found = {}
    actor = User.objects.using(using).get(username="someone")
    for name, write in writes.items():
        with clocked(using) as found[name], transaction.atomic(using=using), acting_as(actor):
            for user in users:
                write(user)
    return found


def writes() -> dict[str, Any]:
    """Write to the two databases in turns."""
    for using in ("short", "default"):
        User.objects.db_manager(using).create_user("someone")
        Group.objects.using(using).create(name="Everybody")
        write_in(using)
    rounds = []
    for number in range(ROUNDS):
        # Neither always comes first.
        order = ("default", "short") if number % 2 else ("short", "default")
        found = {using: write_in(using) for using in order}
        rounds.append((found["default"], found["short"]))
    return {
        name: {
            "over_short": ratio([(long[name].cpu, short[name].cpu) for long, short in rounds]),
            "cpu_microseconds": middle([long[name].cpu for long, _ in rounds], 1e6 / WRITES),
            "microseconds": middle([long[name].seconds for long, _ in rounds], 1e6 / WRITES),
        }
        for name in rounds[0][0]
    }


def ratio(pairs: list[tuple[float, float]]) -> float:
    return round(statistics.median(one / other for one, other in pairs), 2)


def middle(values: list[float], factor: float) -> float:
    return round(statistics.median(values) * factor, 1)


def pages() -> dict[str, str]:
    """Return the addresses of the pages of a trail, as long as it is now."""
    last = Entry.objects.latest("pk").pk
    first = Entry.objects.earliest("pk").pk
    middle_id = (first + last) // 2
    label, recently = "shop.Order", timezone.now() - timedelta(days=7)
    # One that is created and deleted, as the last of its kind.
    key = Entry.objects.filter(model_label=label).exclude(object_id="1").latest("pk").object_id
    request = Entry.objects.filter(pk__lte=middle_id).latest("pk").request_id
    # The first state of a user who has changed often since then.
    state = Entry.objects.filter(model_label="accounts.User", object_id="1").earliest("pk")
    return {
        "the list": LIST,
        "page 100": f"{LIST}?p={min(100, last // 60)}",
        "an action": f"{LIST}?action=delete",
        "a model": f"{LIST}?model={label}",
        "a model with few entries": f"{LIST}?model=shop.Voucher",
        "a model and an action": f"{LIST}?model={label}&action=create",
        "an actor": f"{LIST}?actor=1000031",
        "an actor who did nothing": f"{LIST}?actor=999",
        "the system": f"{LIST}?actor__isnull=True&actor_name=",
        "the last days": f"{LIST}?created_at__gte={recently:%Y-%m-%d}+00:00:00%2B00:00",
        "a source": f"{LIST}?source=job",
        "a source without entries": f"{LIST}?source=database",
        "a request": f"{LIST}?request_id={request}",
        "search for a key": f"{LIST}?q={key}",
        "search for a name": f"{LIST}?q=customer+77",
        "search for nothing": f"{LIST}?q=nothing-has-it",
        "an object": f"{LIST}of/{label}/{key}/",
        "an object with many": f"{LIST}of/{label}/1/",
        "an older page of it": f"{LIST}of/{label}/1/?p={max(min(100, last // 40_000), 1)}",
        "an entry": f"{LIST}{middle_id}/change/",
        "a preview": f"{LIST}{state.pk}/bring-back/",
    }


def visit(client: Client) -> dict[str, dict[str, float]]:
    """Ask for each page: once to count its queries, and then to take its time."""
    found = {}
    client.get(LIST)
    for name, address in pages().items():
        with clocked() as first, CaptureQueriesContext(connection) as captured:
            response = client.get(address)
        if response.status_code != 200:
            sys.exit(f"{address} answers {response.status_code}.")
        queries, clocks = len(captured), []  # at once: the next request forgets them
        for _ in range(ROUNDS):
            with clocked() as clock:
                client.get(address)
            clocks.append(clock)
        found[name] = {
            "queries": queries,
            "first_milliseconds": round(first.seconds * 1e3, 1),
            "milliseconds": middle([clock.seconds for clock in clocks], 1e3),
            "cpu_milliseconds": middle([clock.cpu for clock in clocks], 1e3),
        }
    return found


def seal(count: int) -> int:
    """Seal so many entries, or a few more; return how many."""
    sealed = 0
    for link in seals.seal("default"):
        sealed += link.count
        if sealed >= count:
            break
    return sealed


def verify() -> None:
    if found := list(seals.verify("default")):
        sys.exit(f"The trail is not as it was sealed: {found[:3]}")


def through_all() -> dict[str, Any]:
    """Seal and verify a tenth of the trail, and then all of it."""
    memory: dict[str, list[float]] = {"seal": [], "verify": []}
    with highest_memory(memory["seal"]):
        seal(ENTRIES // 10)
    with highest_memory(memory["verify"]):
        verify()
    with highest_memory(memory["seal"]), clocked() as sealing:
        rest = seal(2 * ENTRIES)
    say("sealed")
    with highest_memory(memory["verify"]), clocked() as verifying:
        verify()
    counts = {"seal": (rest, sealing), "verify": (Entry.objects.count(), verifying)}
    return {
        name: {
            "entries_a_second": round(count / clock.seconds),
            "entries_a_cpu_second": round(count / clock.cpu),
            "mb_after_a_tenth": memory[name][0],
            "mb_after_all": memory[name][1],
        }
        for name, (count, clock) in counts.items()
    }


def bytes_an_entry() -> dict[str, float]:
    """Return what an entry takes in the table and in each index, of the trail at the moment."""
    rows = execute(
        "SELECT 'table', pg_table_size('audit_entry') UNION ALL"
        " SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index"
        " WHERE indrelid = 'audit_entry'::regclass"
    )
    return {name: round(size / ENTRIES, 1) for name, size in rows}


def prune() -> dict[str, float]:
    """Remove the oldest tenth of a trail that is sealed."""
    # By the ids: the entry of the reader of the pages is the first, and young.
    old = Entry.objects.filter(pk__lte=ENTRIES // 10).order_by("pk")
    with clocked() as clock:
        removed = seals.prune(old)
    return {
        "entries": removed,
        "seconds": round(clock.seconds, 1),
        "cpu_seconds": round(clock.cpu, 1),
    }


def main() -> None:
    for using in ("default", "short"):
        call_command("migrate", database=using, verbosity=0)
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser("admin", "admin@example.com", "pw"))
    for number in range(CHANGES):
        User.objects.update(first_name=f"Name {number}")
    # A few entries, so that each page has something to show.
    fill(1, FEW)
    before = visit(client)
    found: dict[str, Any] = {"entries": ENTRIES, "filling_seconds": fill(FEW + 1, ENTRIES)}
    say("filled")
    found["bytes_an_entry"] = bytes_an_entry()
    found["writes"] = writes()
    found["pages"] = visit(client)
    for name, page in found["pages"].items():
        page["over_short"] = ratio([(page["cpu_milliseconds"], before[name]["cpu_milliseconds"])])
    say("written and visited")
    found["seals"] = through_all()
    ((size,),) = execute("SELECT pg_total_relation_size('audit_seal')")
    found["bytes_an_entry"]["seals"] = round(size / Entry.objects.count(), 1)
    say("verified")
    found["pruning"] = prune()
    found["seals_of_the_chain"] = Seal.objects.count()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
