"""Jobs of the welcome mail."""

import logging

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F
from django.tasks import task
from django.template.loader import render_to_string
from django.utils import timezone, translation

from apps.core.jobs import autocommit

from .confirmation import confirmation_link
from .models import Welcome

logger = logging.getLogger(__name__)


class ClaimedError(Exception):
    """Somebody is sending the welcome, or has died while sending it."""


# The claim has to be there for all to see before the mail goes out, and what went wrong
# has to be kept although the job fails.
@task
@autocommit
def send_welcome(pk: int, using: str) -> None:
    """Send a welcome that is due; do nothing when it is sent, given up or gone.

    Args:
        pk: the primary key of the ``Welcome``.
        using: the alias of the database that holds it.

    Raises:
        ClaimedError: when it is being sent. Try it again later: the process that sends it may have
            died.
        Exception: when the mail cannot be written, or the mail server does not take it.
            The welcome stays due, so that the job can be run again.
    """
    welcomes = Welcome.objects.using(using)
    if not welcomes.claim(pk):
        if welcomes.owed().filter(pk=pk).exists():
            raise ClaimedError(f"Welcome {pk} is being sent, or its process has died.")
        logger.info("Welcome %s is sent, given up or gone; nothing to do.", pk)
        return
    welcome = welcomes.select_related("user").get(pk=pk)
    try:
        message(welcome).send(using="default")
    except Exception as error:
        # As Python writes it: also with NUL or half a character in it, a database takes that.
        welcomes.filter(pk=pk).update(
            claimed_at=None, attempts=F("attempts") + 1, last_error=repr(error)
        )
        logger.error(
            "The welcome mail to user %s could not be sent (%r). Check EMAIL_URL and the mail"
            " server; 'manage.py send_welcomes' sends every welcome that is still due.",
            welcome.user_id,
            error,
            # An answer of the mail server needs no traceback; a mistake in a template does.
            exc_info=not isinstance(error, OSError),
        )
        raise
    welcomes.filter(pk=pk).update(sent_at=timezone.now(), last_error="")


@task
@autocommit
def send_welcomes(using: str) -> tuple[int, int]:
    """Send every welcome that is due; return how many were tried and how many of them failed.

    Each failure is logged, and stops no other welcome.
    """
    tried = failed = 0
    for pk in list(Welcome.objects.using(using).due().values_list("pk", flat=True)):
        try:
            send_welcome.call(pk, using=using)
        except ClaimedError:
            continue  # another job was quicker
        except Exception:  # noqa: BLE001 - it is logged, and the others may fare better
            failed += 1
        tried += 1
    return tried, failed


def message(welcome: Welcome) -> EmailMultiAlternatives:
    """Write the mail, as text and HTML, in the language of the sign-up.

    Anybody may have typed the address. So of what was typed it holds the username alone.
    """
    user = welcome.user
    context = {
        "user": user,
        "link": confirmation_link(user),
        "project_name": settings.PROJECT_NAME,
    }
    with translation.override(welcome.language or settings.LANGUAGE_CODE):
        subject = render_to_string("welcome_email/subject.txt", context)
        text = render_to_string("welcome_email/body.txt", context)
        html = render_to_string("welcome_email/body.html", context)
    # A name with a line break in it must not add headers to the mail.
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=[user.email])
    mail.attach_alternative(html, "text/html")
    return mail
