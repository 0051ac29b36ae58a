"""The app that takes background jobs to a Celery worker."""

import json
import os
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q

from apps.core import modules


class HandoffConfig(modules.ModuleConfig):
    """Background jobs in a Celery worker."""

    name = "apps.handoff"
    summary = "Background jobs in a Celery worker, none lost and none without its commit."

    def health(self) -> modules.Health:
        """Return DEGRADED if a job waits for too long. A web process cannot change that."""
        from .backend import outboxes
        from .models import LATE, Handoff

        late = any(Handoff.objects.using(each).longest_wait() >= LATE for each in outboxes())
        return modules.Health.DEGRADED if late else modules.Health.OK

    def forget(self, user_pk: Any, using: str) -> int:
        """Remove arguments, results and tracebacks of the jobs of a user that are done.

        A failed job keeps its arguments: it may be run again. It loses its traceback.
        """
        from .backend import outboxes
        from .models import Handoff
        from .receipts import actor_named

        if using not in outboxes():
            return 0
        nothing = {"arguments": "[[], {}]", "return_value": "", "traceback": ""}
        theirs, field = Q(actor=str(user_pk)), get_user_model().get_email_field_name()
        if address := getattr(actor_named(str(user_pk)), field, ""):
            # A person who asks for a new password is not logged in.
            theirs |= Q(arguments__icontains=json.dumps(address))
        jobs = Handoff.objects.using(using).filter(theirs)
        failed = jobs.failed().exclude(traceback="").update(traceback="")
        done = jobs.filter(finished_at__isnull=False).exclude(**nothing)
        return failed + done.update(**nothing)

    def ready(self) -> None:
        """Load the backend and the periodic jobs, with the checks of their settings."""
        # It takes Celery too long to load, so most processes do without.
        os.environ["CELERY_LOADER"] = "apps.handoff.fallback:Loader"
        from . import backend, periodic  # noqa: F401
