"""Sign-up, which Django leaves to the project."""

from typing import Any

from django.contrib.auth import authenticate, login
from django.db import IntegrityError, transaction
from django.forms import ModelForm
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.views.generic import CreateView

from .forms import SignUpForm


class SignUpView(CreateView):
    """Create a user and, once that is committed, log them in."""

    form_class = SignUpForm
    success_url = reverse_lazy("core:home")
    extra_context: dict[str, Any] = {"title": "Sign up"}

    def form_valid(self, form: ModelForm) -> HttpResponse:
        try:
            # A savepoint, so that a transaction around the request stays usable.
            with transaction.atomic():
                response = super().form_valid(form)
        except IntegrityError:
            # Another sign-up was quicker to take the name. Asked again, the form says so.
            form = self.get_form()
            if form.is_valid():
                raise
            return self.form_invalid(form)
        # Asked of all backends: the session has to name the one that knows the user.
        name, password = form.instance.get_username(), form.cleaned_data["password1"]
        if user := authenticate(self.request, username=name, password=password):
            login(self.request, user)
        return response
