"""Receivers of the taskboard: one for each pattern. See the table in README.md."""

import logging
from collections.abc import Iterable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from django.core.signals import got_request_exception, request_finished, request_started
from django.db import DatabaseError
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.http import HttpRequest

from apps.accounts.models import User
from apps.core import log
from apps.core.actor import current_actor
from apps.core.dispatch import receiver
from apps.core.jobs import hand_off, hand_off_many
from apps.core.limits import count
from apps.core.signals import bulk_created

from .models import Notification, Project, Task, TaskInProgressError
from .signals import (
    TaskAssigned,
    TaskCompleted,
    TaskEvent,
    TaskOverdue,
    TaskUnassigned,
    task_assigned,
    task_completed,
    task_overdue,
    task_unassigned,
)
from .tasks import discard_file, mail_notification

logger = logging.getLogger(__name__)

SLOW_REQUEST = 1.0  # seconds

# Mails in an hour that one account causes, and that one person gets. Others are on the board only.
SET_OFF = 100
RECEIVED = 30

# Built-in signals of models


@receiver(pre_save, sender=Task)
def discard_replaced_attachment(
    sender: type[Task],
    instance: Task,
    using: str,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    """Find the file that a save of a task replaces, and delete it after the commit."""
    if instance._state.adding or "attachment" not in (update_fields or {"attachment"}):
        return
    before = Task.objects.using(using).filter(pk=instance.pk).values_list("attachment", flat=True)
    for name in before.exclude(attachment="").exclude(attachment=instance.attachment.name):
        hand_off(discard_file, name, using=using)


@receiver(post_save, sender=Notification)
def mail_new_notification(
    sender: type[Notification], instance: Notification, created: bool, using: str, **kwargs: Any
) -> None:
    """Mail a new notification, in a job after the commit."""
    if created and may_be_mailed(instance.user_id):
        hand_off(mail_notification, instance.pk, using=using)


@receiver(bulk_created, sender=Notification)
def mail_new_notifications(
    sender: type[Notification], instances: tuple[Notification, ...], using: str, **kwargs: Any
) -> None:
    """Mail notifications that were created in bulk, in a job each after the commit."""
    mailed = [(each.pk,) for each in instances if may_be_mailed(each.user_id)]
    hand_off_many(mail_notification, mailed, using=using)


@receiver(post_save, sender=Task)
def tell_creator_of_edit(
    sender: type[Task],
    instance: Task,
    created: bool,
    using: str,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    """Tell the creator of a task that somebody else has edited it."""
    # The services save these fields, and announce the change themselves.
    moved = update_fields is not None and update_fields <= {"status", "completed_at"}
    if created or moved:
        return
    actor, creator_id = current_actor(), instance.creator_id
    if actor and creator_id and creator_id != actor.pk:
        tell(using, instance.pk, creator_id, f"{actor} edited “{instance}”.")


@receiver(pre_delete, sender=Task)
def protect_task_in_progress(
    sender: type[Task], instance: Task, using: str, origin: Any, **kwargs: Any
) -> None:
    """Refuse to delete a task in progress, unless its project is deleted too."""
    origin_model = origin.model if isinstance(origin, QuerySet) else type(origin)
    if origin is not None and not issubclass(origin_model, Task):
        return
    # Check the row, because the instance may have been loaded long ago.
    row = Task.objects.using(using).select_for_update().filter(pk=instance.pk)
    if row.filter(status=Task.Status.IN_PROGRESS).exists():
        raise TaskInProgressError(instance)


@receiver(post_delete, sender=Task)
def discard_attachment(sender: type[Task], instance: Task, using: str, **kwargs: Any) -> None:
    """Delete the file of a deleted task after the commit, because a rollback needs the file."""
    if instance.attachment:
        hand_off(discard_file, instance.attachment.name, using=using)


@receiver(m2m_changed, sender=Task.assignees.through)
def announce_assignees(
    sender: type[Model],
    instance: Task | User,
    action: str,
    reverse: bool,
    pk_set: set[int] | None,
    using: str,
    **kwargs: Any,
) -> None:
    """Announce who was newly assigned and who no longer is, whichever side was changed."""
    near, far = ("user_id", "task_id") if reverse else ("task_id", "user_id")
    links = sender._default_manager.using(using).filter(**{near: instance.pk})
    if pk_set is not None:
        links = links.filter(**{f"{far}__in": pk_set})
    actor = current_actor()
    by_id = actor.pk if actor else None
    match action:
        case "pre_add" if pk_set:
            # Django has looked for missing links without a lock. Look again with both ends
            # locked. Another transaction may have linked or deleted some of the keys meanwhile.
            # Remove these from the set: Django links the keys that are left in it.
            tasks = locked(Task, pk_set if reverse else {instance.pk}, using)
            people = locked(User, {instance.pk} if reverse else pk_set, using)
            ends = (people, tasks) if reverse else (tasks, people)
            pk_set.intersection_update(ends[1] if ends[0] else ())
            pk_set.difference_update(links.values_list(far, flat=True))
        case "post_add":
            for pk in sorted(pk_set or ()):
                ids = {near: instance.pk, far: pk}
                task_assigned.announce(TaskAssigned(**ids, by_id=by_id, using=using))
        case "pre_remove" | "pre_clear":
            # The table shows who was assigned only before the change.
            leaving = links.select_for_update().order_by(far).values_list(far, flat=True)
            vars(instance)["leaving"] = list(leaving)
        case "post_remove" | "post_clear":
            for pk in vars(instance).pop("leaving", ()):
                ids = {near: instance.pk, far: pk}
                task_unassigned.announce(TaskUnassigned(**ids, by_id=by_id, using=using))


def log_deletions_of(model: type[Model]) -> Any:
    """Make and connect a receiver that logs each deletion of a model."""

    @receiver(post_delete, sender=model, after_commit=True)
    def log_deletion(sender: type[Model], pk: Any, **kwargs: Any) -> None:
        """Write to the log what was deleted, and by whom, after the commit."""
        actor = current_actor()
        by = actor.pk if actor else "nobody"
        logger.info("%s %s was deleted by user %s.", sender._meta.label, pk, by)

    return log_deletion


log_project_deletion = log_deletions_of(Project)
log_task_deletion = log_deletions_of(Task)

# Built-in signals of requests

_started: ContextVar[tuple[dict[str, Any], float] | None] = ContextVar("started", default=None)


@receiver(request_started)
def note_start(sender: Any, **kwargs: Any) -> None:
    """Note each request and its time of arrival; WSGI sends environ, ASGI sends scope."""
    _started.set((kwargs.get("environ") or kwargs["scope"], perf_counter()))


@receiver(request_finished)
def log_slow_request(sender: Any, **kwargs: Any) -> None:
    """Log a request that took long, after its response has been sent."""
    started = _started.get()
    _started.set(None)
    if started and (seconds := perf_counter() - started[1]) >= SLOW_REQUEST:
        # The middleware has set the route. A path can contain a secret.
        logger.warning("%s took %.1f seconds.", started[0].get("route", "A request"), seconds)


@receiver(got_request_exception)
def log_failed_request(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    """Write to the log whose request has failed; Django logs why."""
    try:
        actor = current_actor()
    except DatabaseError:
        actor = None  # perhaps the request failed for the same reason
    by = actor.pk if actor else "nobody"
    logger.error("%s %s of user %s has failed.", request.method, log.route_of(request), by)


# Signals of the taskboard


@receiver(task_completed)
def tell_creator_of_completion(sender: Any, event: TaskCompleted, **kwargs: Any) -> None:
    """Tell the creator of a task that somebody else has completed it."""
    task = task_of(event)
    if task and task.creator_id and task.creator_id != event.by_id:
        text = f"{name_of(event.by_id, event.using)} completed “{task}”."
        tell(event.using, task.pk, task.creator_id, text)


@receiver(task_assigned)
def tell_assignee(sender: Any, event: TaskAssigned, **kwargs: Any) -> None:
    """Tell a person who was newly assigned to a task."""
    if task := task_of(event):
        text = f"{name_of(event.by_id, event.using)} assigned “{task}” to you."
        tell(event.using, task.pk, event.user_id, text)


@receiver(task_unassigned)
def tell_former_assignee(sender: Any, event: TaskUnassigned, **kwargs: Any) -> None:
    """Tell a person who is no longer assigned to a task."""
    if task := task_of(event):
        tell(event.using, task.pk, event.user_id, f"“{task}” is no longer assigned to you.")


@receiver(task_overdue)
async def remind(sender: Any, event: TaskOverdue, **kwargs: Any) -> None:
    """Remind the assignees of an overdue task, or its creator when there are none."""
    task = await Task.objects.using(event.using).filter(pk=event.task_id).afirst()
    if task is None:
        return
    people = [pk async for pk in task.assignees.order_by("pk").values_list("pk", flat=True)]
    if not people and task.creator_id is not None:
        people = [task.creator_id]
    for pk in people:
        await Notification.objects.using(event.using).acreate(
            user_id=pk, task_id=task.pk, text=f"“{task}” was due on {event.due_on:%d %B %Y}."
        )


def locked(model: type[Model], keys: Iterable[Any], using: str) -> set[Any]:
    """Lock rows until the commit, in the order of their keys; return the existing keys."""
    rows = model._default_manager.using(using).filter(pk__in=keys).order_by("pk")
    return set(rows.select_for_update(no_key=True).values_list("pk", flat=True))


def task_of(event: TaskEvent) -> Task | None:
    """Look up the task of an event; None when it was deleted meanwhile."""
    return Task.objects.using(event.using).filter(pk=event.task_id).first()


def name_of(user_id: int | None, using: str) -> str:
    """Name who has done something."""
    user = user_id and User.objects.using(using).filter(pk=user_id).first()
    return user.get_username() if user else "Somebody"


def tell(using: str, task_id: int, user_id: int, text: str) -> None:
    """Write a notification."""
    Notification.objects.using(using).create(task_id=task_id, user_id=user_id, text=text)


def may_be_mailed(user_id: int) -> bool:
    """Count one more mail; False when the acting account or this person has reached a limit."""
    actor = current_actor()
    set_off = count("mails by", str(actor.pk)) if actor else 0
    return set_off <= SET_OFF and count("mails for", str(user_id)) <= RECEIVED
