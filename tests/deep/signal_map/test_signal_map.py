"""The map of receivers: complete, in order, in every format, and the same wherever it is made."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_save
from django.dispatch import Signal

from apps.accounts.models import User
from apps.core.dispatch import receiver
from apps.core.modules import Effect
from apps.signal_map import document, formats
from apps.signal_map.entries import FILTERS, Entry, entries_of, read_entries

from . import leading, listening

pytestmark = pytest.mark.usefixtures("connections_as_before")

CONNECTED_HERE = (f"{__name__}.", f"{leading.__name__}.", f"{listening.__name__}.")


def mine() -> list[Entry]:
    """List what a test of this file has connected."""
    return [entry for entry in read_entries() if entry.place.path.startswith(CONNECTED_HERE)]


def output(*words: str, **options: Any) -> str:
    """Return what the command prints."""
    stream = io.StringIO()
    call_command("signals", *words, stdout=stream, **options)
    return stream.getvalue()


# The entries of the list


def test_an_entry_says_what_runs_where_and_when() -> None:
    receiver(post_save, sender=User)(listening.documented)
    (entry,) = mine()
    assert (entry.sender, entry.signal.name, entry.phase) == (
        "accounts.User",
        "post_save",
        "in transaction",
    )
    assert entry.place.name == "documented"
    assert entry.place.file == "apps/signal_map/tests/deep/listening.py"
    source = Path(listening.__file__).read_text(encoding="utf-8").splitlines()
    assert source[entry.place.line - 1].startswith("def documented")
    assert entry.summary == "Do nothing, when the signal is sent."
    assert entry.origin == "kit"


def test_every_phase_is_told() -> None:
    receiver(pre_save, sender=User)(listening.documented)
    receiver(post_save, sender=User, after_commit=True)(listening.undocumented)
    receiver(listening.listened)(leading.directly)
    receiver(listening.listened)(listening.asynchronous)
    assert {entry.place.name: entry.phase for entry in mine()} == {
        "documented": "in transaction",
        "undocumented": "after commit",
        "directly": "when sent",
        "asynchronous": "async",
    }


def test_receivers_connected_without_the_kit_are_marked() -> None:
    post_save.connect(listening.documented, sender=User)
    (entry,) = mine()
    assert entry.origin == "connect()"
    assert "documented (connect())" in output("--app", "signal_map")
    assert "(`connect()`)" in document.row(entry)


def test_receivers_of_packages_are_marked() -> None:
    (entry,) = [each for each in read_entries() if each.place.name == "update_last_login"]
    assert (entry.origin, entry.place.is_own) == ("django", False)
    assert entry.place.file == "django/contrib/auth/models.py"
    assert "update_last_login (django)" in output()
    assert "update_last_login" not in output("--own")


def test_a_receiver_that_is_not_found_by_its_module_is_listed_too() -> None:
    method = listening.Listener().listen
    post_save.connect(method, sender=User)
    local = listening.connect_closure()
    assert {entry.place.name for entry in mine()} == {"listen", "local"}
    del method, local


def test_the_order_is_that_in_which_receivers_run() -> None:
    signal = listening.listened
    receiver(signal, sender=User)(listening.asynchronous)
    receiver(signal, sender=User)(listening.undocumented)
    receiver(signal, sender=User)(listening.documented)
    receiver(post_save, sender=User)(leading.directly)
    receiver(pre_save, sender=User)(leading.by_module)
    assert [entry.place.name for entry in mine()] == [
        "by_module",
        "directly",
        "undocumented",
        "documented",
        "asynchronous",
    ]
    answers = signal.send(User)
    assert [getattr(each, "__name__", "") for each, _ in answers] == [
        "undocumented",
        "documented",
        "asynchronous",
    ]


def test_senders_of_every_kind_have_a_name_without_a_place_in_memory() -> None:
    signal = listening.listened
    for sender in (User, str, None, listening.listener, "a name"):
        signal.connect(listening.documented, sender=sender)
    assert sorted(entry.sender for entry in mine()) == [
        "accounts.User",
        "an instance of Listener",
        "another sender",
        "any sender",
        "str",
    ]


def test_every_connection_of_the_project_is_alive() -> None:
    for entry in read_entries():
        if entry.link and isinstance(entry.link.signal, ModelSignal) and entry.origin == "kit":
            live, _ = entry.link.signal._live_receivers(entry.link.sender)
            assert entry.link.receiver in live


# The signals and jobs that a receiver leads to


@pytest.mark.parametrize(
    ("listen", "leads_to"),
    [
        (leading.directly, ["job near_job"]),
        (leading.by_module, ["job far_job"]),
        (leading.by_helper, ["job far_job"]),
        (leading.when_it_runs, ["job far_job"]),
        (leading.by_dotted_import, ["job far_job"]),
        (leading.inside, ["job near_job"]),
        (leading.by_method, ["job near_job"]),
        (leading.by_partial, ["job near_job"]),
        (leading.around(leading.near_job), ["job near_job"]),
        (leading.sends, ["signal finished"]),
        (leading.to_nothing, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_end_of_the_chain_is_found(listen: Callable[..., Any], leads_to: list[str]) -> None:
    receiver(post_save, sender=User)(listen)
    (entry,) = mine()
    assert [f"{step.kind} {step.name}" for step in entry.steps] == leads_to


def test_a_job_has_its_own_place_and_summary() -> None:
    receiver(post_save, sender=User)(leading.directly)
    (entry,) = mine()
    (step,) = entry.steps
    assert step.path == "apps.signal_map.tests.deep.leading.near_job"
    assert step.file == "apps/signal_map/tests/deep/leading.py"
    assert step.summary == "Do something later, in a job of this file."


def test_a_signal_is_no_step_of_its_own_receiver() -> None:
    receiver(leading.finished)(leading.sends)
    (entry,) = mine()
    assert entry.steps == ()


LATE = """
from django.contrib.auth.models import Group
from django.db.models.signals import post_save
def late(sender, **kwargs): "Listen."
post_save.connect(late, sender=Group, weak=False)
def view(get_response): return get_response
urlpatterns = []
"""


@pytest.mark.parametrize("place", ["views", "middleware", "management"])
def test_what_only_the_server_imports_is_listed(
    place: str, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A receiver in a file of views is connected when the server loads the URLs."""
    package = tmp_path / f"late_{place}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / f"{place}.py").write_text(LATE, encoding="utf-8")
    (package / "urls.py").write_text("from .views import urlpatterns", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    if place == "views":
        settings.ROOT_URLCONF = "late_views.urls"
    elif place == "middleware":
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "late_middleware.middleware.view"]
    else:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "late_management"]
    paths = [entry.place.path for entry in read_entries()]
    assert f"late_{place}.{place}.late" in paths


# Filters


def test_filters_choose_by_sender_signal_and_app() -> None:
    receiver(post_save, sender=User)(listening.documented)
    receiver(post_delete, sender=Group)(listening.undocumented)
    entries = mine()
    chosen = {
        "documented": [
            {"sender": ["accounts.User"]},
            {"sender": ["user"]},
            {"signal": ["POST_SAVE"]},
            {"app": ["accounts"]},
        ],
        "undocumented": [{"sender": ["auth.Group"]}, {"app": ["auth"]}],
    }
    every: dict[str, list[str]] = {kind: [] for kind in FILTERS}
    for name, filters in chosen.items():
        for each in filters:
            assert [entry.place.name for entry in entries_of(entries, every | each)] == [name]
    assert entries_of(entries, every | {"app": ["signal_map"]}) == entries


@pytest.mark.parametrize(
    ("option", "word", "offer"),
    [
        ("--sender", "accounts.Usr", "accounts.User"),
        ("--signal", "post_sav", "post_save"),
        ("--app", "acounts", "accounts"),
    ],
)
def test_a_filter_that_fits_nothing_says_what_would(option: str, word: str, offer: str) -> None:
    receiver(post_save, sender=User)(listening.documented)
    with pytest.raises(CommandError, match=rf"{word}.* There are: .*{offer}"):
        output(option, word)


@pytest.mark.parametrize("words", [["--sender", "Session"], ["--signal", "post_init"]])
def test_where_nothing_is_connected_that_is_said(words: list[str]) -> None:
    assert output("--own", *words) == "Nothing is connected.\n"


# Formats


def test_the_table_is_readable_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    receiver(post_save, sender=User)(leading.directly)
    text = output()
    docstrings = [line for line in text.splitlines() if line.startswith(formats.INDENT)]
    assert 60 < max(map(len, docstrings)) <= 80
    block = text[text.index("accounts.User\n") :]
    assert re.search(
        r"  post_save\n(?s:.*)"
        r"    in transaction  directly  apps/signal_map/tests/deep/leading\.py:\d+\n"
        r" +Hand a job off\.\n"
        r"    → job           near_job  apps/signal_map/tests/deep/leading\.py:\d+\n",
        block,
    )


def test_json_has_everything() -> None:
    receiver(post_save, sender=User)(leading.directly)
    (found,) = [
        each
        for each in json.loads(output("--format", "json"))
        if each["receiver"] == "apps.signal_map.tests.deep.leading.directly"
    ]
    (step,) = found.pop("leads_to")
    assert step["path"] == "apps.signal_map.tests.deep.leading.near_job"
    assert found.pop("line") > 0
    assert found == {
        "sender": "accounts.User",
        "signal": "post_save",
        "signal_module": "django.db.models.signals",
        "phase": "in transaction",
        "receiver": "apps.signal_map.tests.deep.leading.directly",
        "file": "apps/signal_map/tests/deep/leading.py",
        "summary": "Hand a job off.",
        "origin": "kit",
    }


def test_the_graph_draws_the_chain() -> None:
    receiver(post_save, sender=User, after_commit=True)(leading.directly)
    receiver(pre_save, sender=User)(leading.sends)
    receiver(leading.finished)(listening.documented)
    graph = document.document(mine()).partition("```mermaid\n")[2].partition("\n```")[0]
    path = "apps_signal_map_tests_deep_"
    assert graph.splitlines() == [
        "flowchart LR",
        '    sender_accounts_User(["accounts.User"]) -->|pre_save|'
        f' receiver_{path}leading_sends["sends"]',
        f'    receiver_{path}leading_sends -->|sends| signal_{path}leading_finished[/"finished"/]',
        '    sender_accounts_User(["accounts.User"]) -.->|post_save|'
        f' receiver_{path}leading_directly["directly"]',
        f'    receiver_{path}leading_directly ==>|job| job_{path}leading_near_job[["near_job"]]',
        f'    signal_{path}leading_finished[/"finished"/] -->'
        f' receiver_{path}listening_documented["documented"]',
    ]


def test_the_document_is_a_table_and_a_graph() -> None:
    receiver(post_save, sender=User)(leading.directly)
    text = document.document(mine())
    assert "| `accounts.User` | `post_save` | in transaction |" in text
    assert "```mermaid\nflowchart LR\n" in text


def test_a_docstring_cannot_break_the_table() -> None:
    def listen(sender: Any, **kwargs: Any) -> None:
        """Do this | or <b>that</b>,
        on two lines.

        And more.
        """

    post_save.connect(listen, sender=User, weak=False)
    (entry,) = mine()
    assert "| Do this \\| or &lt;b&gt;that&lt;/b&gt;, on two lines. |" in document.row(entry)


# The document


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the document of a test apart from the project's own."""
    path = tmp_path / "docs" / "signals.md"
    monkeypatch.setattr(document, "path_of_document", lambda: path)
    return path


def test_what_was_written_is_up_to_date_until_something_changes(page: Path) -> None:
    receiver(post_save, sender=User)(listening.documented)
    assert "connections" in output("--write")
    assert "up to date" in output("--check")
    receiver(post_delete, sender=User)(leading.directly)
    with pytest.raises(CommandError) as failure:
        output("--check")
    assert re.search(
        r"not in it: apps/signal_map/tests/deep/leading\.py:\d+ directly, on post_delete of accounts\.User",
        str(failure.value),
    )
    assert "no longer" not in str(failure.value)


def test_what_is_no_longer_connected_is_told(page: Path) -> None:
    post_save.connect(listening.documented, sender=User)
    output("--write")
    post_save.disconnect(listening.documented, sender=User)
    with pytest.raises(CommandError, match=r"no longer so: .*listening\.py"):
        output("--check")


def test_a_change_of_the_order_is_noticed(page: Path) -> None:
    post_save.connect(listening.documented, sender=User)
    post_save.connect(listening.undocumented, sender=User)
    output("--write")
    post_save.disconnect(listening.documented, sender=User)
    post_save.connect(listening.documented, sender=User)
    with pytest.raises(CommandError, match=r"\+.*documented"):
        output("--check")


def test_a_page_that_is_not_there_is_out_of_date(page: Path) -> None:
    with pytest.raises(CommandError, match="signals --write"):
        output("--check")


def test_lines_of_code_may_move_without_a_word_of_the_page_changing() -> None:
    receiver(post_save, sender=User)(listening.documented)
    text = document.document(document.documented(read_entries()))
    assert not re.search(r"\.py[:#]L?\d", text)


def test_the_page_leaves_out_what_packages_do_for_themselves() -> None:
    connected = {entry.signal.name for entry in read_entries()}
    on_page = {entry.signal.name for entry in document.documented(read_entries())}
    assert {"setting_changed", "user_logged_in"} <= connected
    assert "user_logged_in" in on_page
    assert "setting_changed" not in on_page
    # Of the project, everything is there.
    Signal.connect(listening.listened, listening.documented)
    assert mine() == document.documented(mine())


@pytest.mark.parametrize("words", [["--sender", "user"], ["--format", "json"], ["--own"]])
def test_the_page_is_about_everything(words: list[str]) -> None:
    with pytest.raises(CommandError, match="no filters"):
        output("--check", *words)


@pytest.mark.parametrize("debug", ["1", ""])
def test_the_project_s_own_page_is_up_to_date(debug: str) -> None:
    """In a new process: no test has connected anything there, and none of DEBUG is left."""
    environment = {
        **os.environ,
        "DEBUG": debug,
        "SECRET_KEY": "a-key-for-this-test",
        "ALLOWED_HOSTS": "localhost",
        "EMAIL_URL": "memorymail://",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "signals", "--check"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_app_does_without_a_receiver_is_listed_by_sender(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    effect = Effect(
        "auth.Group", "every write", "in transaction", leading.directly, "Copy the row."
    )
    monkeypatch.setattr(apps.get_app_config("accounts"), "effects", lambda: [effect])
    (entry,) = mine()
    assert (entry.signal.name, entry.origin) == ("every write", "accounts")
    assert "directly (accounts)" in output("--sender", "auth.Group", "--app", "signal_map")
    assert "(`accounts`) | Copy the row. |" in document.row(entry)
