from django import forms
from django.db.models import QuerySet

from apps.accounts.models import User

from .models import Task


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
    """One person to assign or to remove. There may be too many people for a list."""

    person = forms.ModelChoiceField(User.objects.all())


class SearchForm(forms.Form):
    """A part of a person's name."""

    name = forms.CharField(label="Find a person", max_length=150)

    def people(self) -> QuerySet[User]:
        """Return active users whose name contains the text; none if the form is not valid."""
        found = User.objects.filter(is_active=True).order_by(User.USERNAME_FIELD)
        if not self.is_valid():
            return found.none()
        return found.filter(**{f"{User.USERNAME_FIELD}__icontains": self.cleaned_data["name"]})
