"""Sign-up, which Django leaves to the project, and what strangers must not repeat or learn."""

from threading import Thread
from typing import Any, Final

from django.contrib.auth import authenticate, login
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetView
from django.db import IntegrityError, connections, transaction
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.views.generic import CreateView

from apps.core.jobs import AfterCommitBackend, hand_off
from apps.core.limits import client_address, count

from .forms import SignUpForm
from .tasks import mail_password_reset

# In an hour, from one address; and mails to one box.
SIGN_UPS: Final = 30
RESETS: Final = 10
RESET_MAILS: Final = 3
TOO_MANY: Final = "Too many attempts. Try again in an hour."


class SignUpView(CreateView):
    """Create a user and, once that is committed, log them in."""

    form_class = SignUpForm
    success_url = reverse_lazy("core:home")
    extra_context: dict[str, Any] = {"title": "Sign up"}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if count("sign-up", client_address(request)) > SIGN_UPS:
            return HttpResponse(TOO_MANY, status=429)
        return super().post(request, *args, **kwargs)

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


def in_thread(*arguments: str | bool) -> None:
    """Run the job aside: the time that the mail takes must not tell whose address it is."""
    try:
        hand_off(mail_password_reset, *arguments)
    finally:
        connections.close_all()


class ResetView(PasswordResetView):
    """Ask for a link to a new password; a job looks for the user."""

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        address, request = form.cleaned_data["email"], self.request
        mails, resets = count("mail", address.casefold()), count("reset", client_address(request))
        if mails > RESET_MAILS or resets > RESETS:
            form.add_error(None, TOO_MANY)
            return self.form_invalid(form)
        arguments = (address, request.get_host(), request.is_secure())
        if isinstance(mail_password_reset.get_backend(), AfterCommitBackend):
            Thread(target=in_thread, args=arguments, name="password reset").start()
        else:  # another process runs the job
            hand_off(mail_password_reset, *arguments)
        return redirect(self.get_success_url())


class ResetConfirmView(PasswordResetConfirmView):
    """Set a new password; the link in the mail has confirmed the address too."""

    def form_valid(self, form: SetPasswordForm) -> HttpResponse:
        form.user.confirmed_email = form.user.email
        return super().form_valid(form)
