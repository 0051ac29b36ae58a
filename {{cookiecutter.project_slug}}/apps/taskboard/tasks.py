"""Jobs of the taskboard, for ``hand_off``: they run after the commit, here or in a worker."""

from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.db.models import F
from django.tasks import task
from django.utils import timezone

from apps.core.jobs import autocommit

from . import services
from .models import Notification, Task


@task
def mail_notification(pk: int, using: str) -> None:
    """Mail a notification, once however often the job runs; only to an address that is confirmed.

    Args:
        pk: the primary key of the ``Notification``.
        using: the alias of the database that holds it.

    Raises:
        OSError, SMTPException: when the mail server does not take the mail; the
            job can be run again.
    """
    rows = Notification.objects.using(using).filter(pk=pk)
    confirmed = rows.filter(user__confirmed_email=F("user__email")).exclude(user__email="")
    notification = confirmed.select_related("user").first()
    # Of two jobs at once one may go on, so this asks no other table: with a join, Django looks
    # for the rows in a subquery, and PostgreSQL does not look again after it has waited for one.
    if notification is None or not rows.filter(mailed_at=None).update(mailed_at=timezone.now()):
        return
    subject = " ".join(notification.text.split())  # a line break would not be sent
    try:
        EmailMessage(subject, notification.text, to=[notification.user.email]).send(using="default")
    except Exception:
        rows.update(mailed_at=None)
        raise


@task
def discard_file(name: str, using: str) -> None:
    """Delete an attachment that no task has any more, after its row is gone or changed.

    Args:
        name: the name of the file in the default storage.
        using: the alias of the database whose tasks may have it.
    """
    if not Task.objects.using(using).filter(attachment=name).exists():
        default_storage.delete(name)


@task
@autocommit
def announce_overdue(using: str) -> int:
    """Announce each overdue task once for its due date; return how many were announced."""
    return services.announce_overdue(using=using)
