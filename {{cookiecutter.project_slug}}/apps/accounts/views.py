"""Sign-up, which Django leaves to the project, and what strangers must not learn or repeat."""

from contextvars import copy_context
from typing import Any, Final

from django.contrib.auth import authenticate, login
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.db import IntegrityError, transaction
from django.forms import Form, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.tasks import Task
from django.urls import reverse_lazy
from django.views.generic import CreateView
from django.views.generic.edit import ProcessFormView

from apps.core.jobs import hand_off
from apps.core.limits import Limit, client_address, folded

from .forms import SignUpForm
from .tasks import mail_password_reset

# What one address may do in an hour, and how many such mails one box gets.
SIGN_UPS: Final = Limit("sign-up", 30, 3600)
RESETS: Final = Limit("reset", 10, 3600)
RESET_MAILS: Final = Limit("mail of a reset", 3, 3600)


class LimitedView(ProcessFormView):
    """A form that an address may post so often, and then has to wait."""

    limit: Limit

    def post(self, request: HttpRequest, *args: str, **kwargs: Any) -> HttpResponse:
        if self.limit.spend(client_address(request)):
            return super().post(request, *args, **kwargs)
        context = {"title": "Too many attempts", "text": "Try again in an hour."}
        return render(request, "accounts/done.html", context, status=429)


class SignUpView(LimitedView, CreateView):
    """Create a user and, once that is committed, log them in."""

    limit = SIGN_UPS
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


class RedirectFirst(HttpResponseRedirect):
    """A redirect that hands a job off when it is sent: how long that takes tells nobody anything."""

    def __init__(self, url: str, job: Task, *args: Any) -> None:
        super().__init__(url)
        self._context, self._job, self._args = copy_context(), job, args

    def close(self) -> None:
        try:
            self._context.run(hand_off, self._job, *self._args)
        finally:
            super().close()


class ResetView(LimitedView, PasswordResetView):
    """Ask for a link to a new password; who has the address is looked up in the job."""

    limit = RESETS

    def form_valid(self, form: Form) -> HttpResponse:
        address = form.cleaned_data["email"]
        if RESET_MAILS.spend(folded(address)):
            return RedirectFirst(self.get_success_url(), mail_password_reset, address)
        return redirect(self.get_success_url())


class ResetConfirmView(PasswordResetConfirmView):
    """Set a new password; who has got the link has confirmed the address too."""

    def form_valid(self, form: SetPasswordForm) -> HttpResponse:
        form.user.confirmed_email = form.user.email
        return super().form_valid(form)
