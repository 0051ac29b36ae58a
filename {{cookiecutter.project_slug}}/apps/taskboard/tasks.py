"""Jobs of the taskboard, for ``hand_off``: they run after the commit, here or in a worker."""

from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.tasks import task
from django.utils import timezone

from .models import Notification, Task


@task
def mail_notification(pk: int, database: str) -> None:
    """Mail a notification, once however often the job runs; nothing for people without address.

    Args:
        pk: the primary key of the ``Notification``.
        database: the alias of the database that holds it.

    Raises:
        OSError, SMTPException: when the mail server does not take the mail; the
            job can be run again.
    """
    claimed = Notification.objects.using(database).filter(pk=pk, mailed_at=None)
    claimed = claimed.exclude(user__email="")
    if not claimed.update(mailed_at=timezone.now()):
        return
    notification = Notification.objects.using(database).select_related("user").get(pk=pk)
    subject = " ".join(notification.text.split())  # a line break would not be sent
    try:
        EmailMessage(subject, notification.text, to=[notification.user.email]).send(using="default")
    except Exception:
        Notification.objects.using(database).filter(pk=pk).update(mailed_at=None)
        raise


@task
def discard_file(name: str, database: str) -> None:
    """Delete an attachment that no task has any more, after its row is gone or changed.

    Args:
        name: the name of the file in the default storage.
        database: the alias of the database whose tasks may have it.
    """
    if not Task.objects.using(database).filter(attachment=name).exists():
        default_storage.delete(name)
