"""Jobs of the welcome mail."""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import F
from django.tasks import task
from django.template.loader import render_to_string
from django.utils import timezone, translation

from .models import Welcome

logger = logging.getLogger(__name__)


@task
def send_welcome(pk: int, database: str) -> None:
    """Send a welcome that is due; do nothing when it is sent, being sent or gone.

    Args:
        pk: the primary key of the ``Welcome``.
        database: the alias of the database that holds it.

    Raises:
        OSError, SMTPException: when the mail server does not take the mail. The
            welcome stays due, so that the job can be run again.
    """
    welcomes = Welcome.objects.using(database)
    if not welcomes.claim(pk):
        logger.info("Welcome %s is sent, being sent or gone; nothing to do.", pk)
        return
    welcome = welcomes.select_related("user").get(pk=pk)
    try:
        message(welcome).send(using="default")
    except (OSError, SMTPException) as error:
        welcomes.filter(pk=pk).update(
            claimed_at=None, attempts=F("attempts") + 1, last_error=str(error)
        )
        logger.error(
            "The welcome mail to user %s could not be sent (%s). Check EMAIL_URL and the mail"
            " server; 'manage.py send_welcomes' sends every welcome that is still due.",
            welcome.user_id,
            error,
        )
        raise
    welcomes.filter(pk=pk).update(sent_at=timezone.now(), last_error="")


def message(welcome: Welcome) -> EmailMultiAlternatives:
    """Write the mail, as text and HTML, in the language of the sign-up."""
    user = welcome.user
    context = {"user": user, "project_name": settings.PROJECT_NAME}
    with translation.override(welcome.language or settings.LANGUAGE_CODE):
        subject = render_to_string("welcome_email/subject.txt", context)
        text = render_to_string("welcome_email/body.txt", context)
        html = render_to_string("welcome_email/body.html", context)
    # A name with a line break in it must not add headers to the mail.
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, to=[user.email])
    mail.attach_alternative(html, "text/html")
    return mail
