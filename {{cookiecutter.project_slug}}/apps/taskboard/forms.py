from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.accounts.models import User

from .models import Project, Task


class ProjectForm(forms.ModelForm):
    """The name of a new project."""

    class Meta:
        model = Project
        fields = ("name",)


class TaskForm(forms.ModelForm):
    """The fields of a task that people type; buttons change its status and assignees."""

    class Meta:
        model = Task
        fields = ("title", "description", "priority", "due_on", "attachment")
        widgets = {
            "description": forms.Textarea(attrs={"rows": 4}),
            "due_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        }


class PersonForm(forms.Form):
    """A choice of one person."""

    def __init__(self, *args: Any, people: QuerySet[User]) -> None:
        super().__init__(*args)
        self.fields["person"] = forms.ModelChoiceField(people.order_by(User.USERNAME_FIELD))
