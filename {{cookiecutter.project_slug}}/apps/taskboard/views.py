"""The pages. They are short, because ``services.py`` holds the actions."""

from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.csp import CSP
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_safe
from django.views.generic import CreateView

from apps.accounts.models import User

from . import services
from .forms import PersonForm, SearchForm, TaskForm
from .models import Project, Task, TaskInProgressError

LATEST = 10
FOUND = 10  # people that a search shows


class IndexView(LoginRequiredMixin, CreateView):
    """List the projects and the latest notifications of the person; add a project."""

    model = Project
    fields = ("name",)
    template_name = "taskboard/index.html"

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        told = _person(self.request).notifications.select_related("task__project")[:LATEST]
        more |= {"notifications": told, "projects": Project.objects.with_statistics()}
        return super().get_context_data(debug=settings.DEBUG, **more)


@login_required
@require_safe
def board(request: HttpRequest, project: str) -> HttpResponse:
    """Show the tasks of a project in one column for each status."""
    found = get_object_or_404(Project.objects.with_statistics(), slug=project)
    tasks = list(found.tasks.select_related("project").prefetch_related("assignees"))
    columns = [
        (status.label, [task for task in tasks if task.status == status]) for status in Task.Status
    ]
    return render(request, "taskboard/board.html", {"project": found, "columns": columns})


@login_required
def edit(request: HttpRequest, project: str, task: str = "") -> HttpResponse:
    """Edit the fields of a task; without one, add a task to the project."""
    found: Project | Task
    with transaction.atomic():
        if task:
            # Locked, because the form saves all fields, and the status could change meanwhile.
            tasks = Task.objects.select_related("project").select_for_update(of=("self",))
            found = edited = get_object_or_404(tasks, project__slug=project, slug=task)
        else:
            # Locked, so that a project that is being deleted gets no new task.
            projects = Project.objects.select_for_update(no_key=True)
            found = get_object_or_404(projects, slug=project)
            edited = Task(project=found, creator=_person(request))
        form = TaskForm(request.POST or None, request.FILES or None, instance=edited)
        if form.is_valid():
            return redirect(form.save())
    context = {"form": form, "title": "Edit task" if task else "New task", "back": found}
    return render(request, "taskboard/form.html", context)


@login_required
def detail(request: HttpRequest, project: str, task: str) -> HttpResponse:
    """Show a task; with POST, do the action of the button."""
    tasks = Task.objects.select_related("project")
    found = get_object_or_404(tasks, project__slug=project, slug=task)
    if request.method == "POST":
        return _act(request, found)
    form = SearchForm(request.GET if "name" in request.GET else None)
    context = {
        "task": found,
        "form": form,
        "people": form.people().exclude(tasks=found)[:FOUND],
        "assignees": found.assignees.order_by(User.USERNAME_FIELD),
    }
    return render(request, "taskboard/task.html", context)


@login_required
@require_safe
@csp_override({"default-src": [CSP.NONE], "sandbox": ["allow-downloads"]})
def attachment(request: HttpRequest, name: str) -> FileResponse:
    """Send the file of a task as a download. An HTML file must not run on this site."""
    found = Task.objects.filter(attachment=name).first()  # several tasks may share the file
    if found is None:
        raise Http404
    try:
        file = found.attachment.open()
    except FileNotFoundError as error:
        raise Http404 from error
    kind = "application/octet-stream"
    name = PurePosixPath(name).name
    return FileResponse(file, as_attachment=True, filename=name, content_type=kind)


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)


def _act(request: HttpRequest, task: Task) -> HttpResponse:
    person = _person(request)
    moves: dict[str, Callable[[Task], bool]] = {
        "start": services.start,
        "complete": partial(services.complete, by=person),
        "reopen": services.reopen,
    }
    links = {"assign": services.assign, "unassign": services.unassign}
    action = request.POST.get("action", "")
    if action in moves:
        if not moves[action](task):
            text = f"Nothing changed: “{task}” is already {task.status}, or was deleted."
            messages.warning(request, text)
    elif action in links:
        form = PersonForm(request.POST)
        if form.is_valid():
            links[action](task, form.cleaned_data["person"], by=person)
    elif action == "delete":
        try:
            with transaction.atomic():
                task.delete()
        except TaskInProgressError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"“{task}” was deleted.")
            return redirect(task.project)
    else:
        return HttpResponseBadRequest(f"There is no action {action!r}.", content_type="text/plain")
    return redirect(task)
