import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.tasks import TaskResultStatus

from apps.core.jobs import hand_off
from apps.core.periodic import periodic_jobs


class Command(BaseCommand):
    help = "Run the jobs of PERIODIC that are due in this hour; cron calls it every hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="Run all jobs now.")

    def handle(self, *args: Any, **options: Any) -> None:
        # No table keeps the time of the last run. So a daily job runs at midnight UTC.
        hour, failed = int(time.time() // 3600), 0
        for path, (job, interval) in periodic_jobs().items():
            if options["all"] or hour % max(interval // timedelta(hours=1), 1) == 0:
                result = hand_off(job)
                status = result.status if result else TaskResultStatus.READY
                failed += status == TaskResultStatus.FAILED
                self.stdout.write(f"{path}: {status.label}")
        if failed:
            raise CommandError(f"Periodic jobs failed: {failed}; the log says why.")
