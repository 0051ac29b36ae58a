"""The tables, rebuilt from the trail alone after random writes of every kind, are the tables.

``AUDIT_OPERATIONS=20000 pytest apps/audit/tests/test_rebuilding.py -s`` makes as many
writes and says so; without it a few hundred are made, always the same.
"""

import os
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.audit import registry, values
from apps.audit.models import Entry

from ..examples.models import Article, Author, Tag
from .models import Club, Hotel, Note, Place, Review
from .tables import Book, BookTag, Loan, Shelf, Stock
from .writes import WRITES, Choices, choices, populate

SHELVED: Final = (Shelf, Book, BookTag, Loan, Stock)
MODELS: Final = (Author, Tag, Article, Note, Review, Club, Place, Hotel, *SHELVED)
LINKS: Final = ("tags", "related", "members")
STEPS: Final = 50
OPERATIONS: Final = int(os.environ.get("AUDIT_OPERATIONS", "300"))

# Not in the project's folder, where it would be one more thing to ignore.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")

done: Final[Counter[str]] = Counter()


class Writing(RuleBasedStateMachine):
    """Writes at random, in transactions inside transactions, of which some are rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[Any] = []
        self.begin()
        populate()

    @rule()
    def begin(self) -> None:
        atomic = transaction.atomic()
        atomic.__enter__()
        self.transactions.append(atomic)

    @precondition(lambda self: len(self.transactions) > 1)
    @rule(rolled_back=st.booleans())
    def end(self, rolled_back: bool) -> None:
        if rolled_back:
            transaction.set_rollback(True)
        self.transactions.pop().__exit__(None, None, None)

    # Named by every write, so that each is as likely as the others.
    @rule(name=st.sampled_from(sorted(WRITES)), choices=choices)
    def write(self, name: str, choices: Choices) -> None:
        self.make(name, choices)

    @rule(name=st.sampled_from(sorted(WRITES)), choices=choices)
    def write_more(self, name: str, choices: Choices) -> None:
        self.make(name, choices)

    @rule(name=st.sampled_from(sorted(WRITES)), choices=choices)
    def write_and_fail(self, name: str, choices: Choices) -> None:
        if choices.one % 3 == 0:
            self.make(name, choices, fail=True)
        else:
            self.make(name, choices)

    def make(self, name: str, choices: Choices, *, fail: bool = False) -> None:
        done[name] += 1
        try:
            with transaction.atomic():
                WRITES[name](choices)
                if fail:
                    Author(name=None).save()
        except DatabaseError:
            done["failed"] += 1

    @invariant()
    def the_trail_gives_the_tables(self) -> None:
        # Looking at all of it costs more than the write: once in a few steps it is done.
        if sum(done.values()) % 10 == 0:
            compare()

    def teardown(self) -> None:
        try:
            compare()
        finally:
            while self.transactions:
                transaction.set_rollback(True)
                self.transactions.pop().__exit__(None, None, None)


def compare(*, several_writers: bool = False) -> None:
    """Rebuild the tables from the trail, and compare."""
    rebuilt, links = rebuild(several_writers=several_writers)
    tables = {}
    for model in MODELS:
        for row in model._base_manager.values("pk", *recorded_columns(model).values()):
            tables[model._meta.label, registry.object_key(model, row["pk"])] = {
                name: plain(row[column]) for name, column in recorded_columns(model).items()
            }
    assert rebuilt == tables
    linked: dict[Any, Counter[Any]] = defaultdict(Counter)
    for model in (Article, Club, Book):
        for field in model._meta.many_to_many:
            names = (field.m2m_field_name(), field.m2m_reverse_field_name())
            through: Any = field.remote_field.through
            pairs = through._base_manager.values_list(*names)
            # A row of a separate model may lack an end.
            for source, target in (pair for pair in pairs if None not in pair):
                key = registry.object_key(model, source)
                linked[model._meta.label, key, field.name][target] += 1
    assert {key: found for key, found in links.items() if found} == linked


def same(one: Any, other: Any) -> bool:
    """Compare JSON data; unlike ``==``, tell True from 1 and False from 0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def rebuild(*, several_writers: bool = False) -> tuple[dict[Any, Any], dict[Any, Counter[Any]]]:
    """Replay the trail: first the values of the rows, then the links.

    With several writers, links may come and go after their object has been deleted,
    in a transaction that ran beside the deletion; they must come to nothing. Two writers may
    link the same two rows at once, where nothing in the table forbids it: links are counted.
    PostgreSQL tells of links that it took along by itself right after the deletion.
    """
    late = several_writers or connection.vendor == "postgresql"
    models = {model._meta.label: model for model in MODELS}
    tables: dict[Any, dict[str, Any]] = {}
    links: dict[Any, Counter[Any]] = defaultdict(Counter)
    for entry in Entry.objects.filter(model_label__in=models).order_by("id"):
        key = (entry.model_label, entry.object_id)
        if entry.action in (Entry.Action.CREATE, Entry.Action.STATE):
            assert key not in tables
            tables[key] = {}
        if late and entry.action == Entry.Action.UPDATE and key not in tables:
            assert all("added" in change for change in entry.changes.values())
            row = {}
        else:
            row = tables[key]
        meta = models[entry.model_label]._meta
        assert entry.changes or entry.action != Entry.Action.UPDATE
        for name, change in entry.changes.items():
            field: Any = meta.get_field(name)
            if "added" in change:
                added, removed = Counter(change["added"]), Counter(change["removed"])
                assert several_writers or not added & links[*key, name]
                assert removed <= links[*key, name]
                links[*key, name] = links[*key, name] + added - removed
            elif "old" in change:
                assert row.get(name) == values.decode(field, change["old"])
                row[name] = values.decode(field, change["new"])
                changed = not same(change["old"], change["new"])
                assert changed or entry.action != Entry.Action.UPDATE
        if entry.action == Entry.Action.DELETE:
            assert not any(row.values())
            del tables[key]
            left = {name: links[*key, name] for name in LINKS if links[*key, name]}
            assert late or not left, f"{key} was deleted with its links {left}"
    return tables, links


def recorded_columns(model: type[Model]) -> dict[str, str]:
    """Name the columns whose values the trail keeps, and the attributes that hold them."""
    audited = registry.audited_models()[model]
    return {
        field.name: field.attname for field in audited.fields if field.name not in audited.masked
    }


def plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.django_db
def test_the_trail_rebuilds_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    done.clear()
    thorough = "AUDIT_OPERATIONS" in os.environ
    while sum(done.values()) - done["failed"] < OPERATIONS:
        run_state_machine_as_test(
            Writing,
            settings=settings(
                max_examples=max(1, OPERATIONS // STEPS),
                stateful_step_count=STEPS,
                derandomize=not thorough,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink] if thorough else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        if not thorough:
            break
    if thorough:
        count = sum(done.values()) - done["failed"]
        with capsys.disabled():
            print(f"\n{count} writes, {done['failed']} undone: no difference.")  # noqa: T201
            print(", ".join(f"{name} {done[name]}" for name in sorted(WRITES)))  # noqa: T201
