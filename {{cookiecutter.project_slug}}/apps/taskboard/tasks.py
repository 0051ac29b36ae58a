"""Jobs of the taskboard. They run after the commit, in this process or in a worker."""

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
    """Mail a notification once, even if the job runs twice; only to a confirmed address.

    Args:
        pk: the primary key of the ``Notification``.
        using: the alias of the database that holds it.

    Raises:
        OSError, SMTPException: when the mail server does not accept the mail. The job can run
            again.
    """
    rows = Notification.objects.using(using).filter(pk=pk)
    confirmed = rows.filter(user__confirmed_email=F("user__email")).exclude(user__email="")
    notification = confirmed.select_related("user").first()
    # Of two jobs at the same time only one may continue. So the UPDATE uses no join: with a join,
    # Django selects the rows in a subquery. PostgreSQL waits for the other job's lock, and does
    # not evaluate the subquery again.
    if notification is None or not rows.filter(mailed_at=None).update(mailed_at=timezone.now()):
        return
    subject = " ".join(notification.text.split())  # a subject must not have line breaks
    try:
        EmailMessage(subject, notification.text, to=[notification.user.email]).send(using="default")
    except Exception:
        rows.update(mailed_at=None)
        raise


@task
def discard_file(name: str, using: str) -> None:
    """Delete an attachment, unless a task still uses it.

    Args:
        name: the name of the file in the default storage.
        using: the alias of the database with the tasks.
    """
    if not Task.objects.using(using).filter(attachment=name).exists():
        default_storage.delete(name)


@task
@autocommit
def announce_overdue(using: str) -> int:
    """Announce each overdue task once for its due date; return how many were announced."""
    return services.announce_overdue(using=using)
