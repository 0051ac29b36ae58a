from typing import cast

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse_lazy
from django.views.generic import DetailView, UpdateView

from apps.accounts.models import User

from .forms import ProfileForm
from .models import Profile


class OwnProfileView(LoginRequiredMixin, SuccessMessageMixin, UpdateView):
    """Show and change the profile of the person who is logged in."""

    form_class = ProfileForm
    template_name = "profiles/edit.html"
    success_url = reverse_lazy("profiles:edit")
    success_message = "Your profile is saved."

    def get_object(self, queryset: QuerySet[Profile] | None = None) -> Profile:
        return Profile.objects.for_user(cast(User, self.request.user))


class ProfileView(LoginRequiredMixin, DetailView):
    """Show the profile of an active user to every user who is logged in."""

    template_name = "profiles/detail.html"

    def get_object(self, queryset: QuerySet[Profile] | None = None) -> Profile:
        user = get_object_or_404(User, pk=self.kwargs["user"], is_active=True)
        return Profile.objects.for_user(user)
