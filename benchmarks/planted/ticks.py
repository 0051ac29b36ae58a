"""Lets relays hand off periodic jobs while processes are killed, and counts effects.

A trigger of the database notes each change of a job's next run. Each of these ticks must be one row
of the outbox, and its job must run once.
"""

from collections import Counter
from pathlib import Path
from typing import Any, Final

from django.db import connection

from .faults import Outcome, Run
from .processes import Processes

NOTED: Final = "INSERT INTO planted_tick (name) VALUES (NEW.name);"
TRIGGERS: Final = {
    "sqlite": [
        "DROP TRIGGER IF EXISTS planted_note",
        "CREATE TRIGGER planted_note AFTER UPDATE ON handoff_periodicjob"
        f" WHEN NEW.next_at > OLD.next_at BEGIN {NOTED} END",
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION planted_note() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {NOTED} RETURN NULL; END $$",
        "CREATE OR REPLACE TRIGGER planted_note AFTER UPDATE ON handoff_periodicjob FOR EACH ROW"
        " WHEN (NEW.next_at > OLD.next_at) EXECUTE FUNCTION planted_note()",
    ],
}


class TickRun(Run):
    """A run with periodic jobs in the place of producers."""

    def _begin(self, processes: Processes) -> None:
        with connection.cursor() as cursor:
            for statement in TRIGGERS[connection.vendor]:
                cursor.execute(statement)
        Path(self._environment["LOAD_TICKS"]).touch()

    def _end(self) -> None:
        Path(self._environment["LOAD_TICKS"]).unlink()

    def _committed(self) -> int:
        from .models import Tick

        return int(Tick.objects.count())

    def _missing(self) -> int:
        return len(self._unfinished())

    def _unfinished(self) -> set[str]:
        from apps.handoff.models import Handoff

        return {self._key(row) for row in Handoff.objects.filter(due_at__isnull=False)}

    def _key(self, row: Any) -> str:
        return str(row.pk)

    def _count(self, seconds: int, stuck: int) -> Outcome:
        from apps.handoff.models import Handoff

        from .models import Effect, Tick

        ticks = Counter(Tick.objects.values_list("name", flat=True))
        rows = dict(Handoff.objects.values_list("pk", "name"))
        handed_off = Counter(rows.values())
        effects = Counter(Effect.objects.values_list("order_id", flat=True))
        outside = self._outside()
        undone = {str(pk) for pk in rows if not (effects[pk] and outside[str(pk)])}
        under_way = undone & self._unfinished()
        return self._outcome(
            outside,
            committed=ticks.total(),
            lost=(ticks - handed_off).total() + len(undone - under_way),
            under_way=len(under_way),
            phantom=(handed_off - ticks).total() + len(effects.keys() - rows.keys()),
            duplicate_effects=sum(count - 1 for count in effects.values()),
            seconds=seconds,
            stuck=stuck,
        )
