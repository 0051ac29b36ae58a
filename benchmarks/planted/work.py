"""The work of a job, for each way of handing off."""

import os
import time

from django.conf import settings

from .models import Effect


def carry_out(order_id: str) -> None:
    """Have one effect in the database, and one outside of it that no rollback takes back."""
    started = time.monotonic()
    Effect.objects.create(order_id=order_id)
    file = os.open(settings.NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{order_id} {started}\n".encode())
    finally:
        os.close(file)
