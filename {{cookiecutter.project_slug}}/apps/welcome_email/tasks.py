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
    """Another process is sending the welcome, or died while it sent it."""


# Other jobs must see the claim before the mail is sent, and the error must stay when the job
# fails. So both are committed at once.
@task
@autocommit
def send_welcome(pk: int, using: str) -> None:
    """Send a welcome that is due; do nothing when it is sent, given up or gone.

    Args:
        pk: the primary key of the ``Welcome``.
        using: the alias of the database that holds it.

    Raises:
        ClaimedError: when another process is sending it. That process may have died, so try again
            later.
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
        # repr() escapes NUL and half surrogate pairs, which a database may refuse.
        welcomes.filter(pk=pk).update(
            claimed_at=None, attempts=F("attempts") + 1, last_error=repr(error)
        )
        logger.error(
            "The welcome mail to user %s could not be sent (%r). Check EMAIL_URL and the mail"
            " server; 'manage.py send_welcomes' sends every welcome that is still due.",
            welcome.user_id,
            error,
            # An error of the mail server needs no traceback. A mistake in a template does.
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
        except Exception:  # noqa: BLE001 - it is logged, and other mails may succeed
            failed += 1
        tried += 1
    return tried, failed


def message(welcome: Welcome) -> EmailMultiAlternatives:
    """Write the mail, as text and HTML, in the language of the sign-up.

    Any person may have typed the address. So the username is the only typed text in the mail.
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
    # A name with a line break must not add headers to the mail.
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=[user.email])
    mail.attach_alternative(html, "text/html")
    return mail
