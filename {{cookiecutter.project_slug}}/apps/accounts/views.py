"""Sign-up, which Django does not have, and Django's reset views with limits."""

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

# In one hour: two limits for the address of a client, and one for the mails to a mailbox.
SIGN_UPS: Final = 30
RESETS: Final = 10
RESET_MAILS: Final = 3
TOO_MANY: Final = "Too many attempts. Try again in an hour."


class SignUpView(CreateView):
    """Create a user, and log the user in after the commit."""

    form_class = SignUpForm
    success_url = reverse_lazy("core:home")
    extra_context: dict[str, Any] = {"title": "Sign up"}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if count("sign-up", client_address(request)) > SIGN_UPS:
            return HttpResponse(TOO_MANY, status=429)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: ModelForm) -> HttpResponse:
        try:
            # The savepoint keeps a transaction around the request usable.
            with transaction.atomic():
                response = super().form_valid(form)
        except IntegrityError:
            # Another sign-up has just taken the name. The form now says so.
            form = self.get_form()
            if form.is_valid():
                raise
            return self.form_invalid(form)
        # The session must name the backend that knows the user.
        name, password = form.instance.get_username(), form.cleaned_data["password1"]
        if user := authenticate(self.request, username=name, password=password):
            login(self.request, user)
        return response


def mail_in_thread(*arguments: str | bool) -> None:
    """Run the job beside the request, so that its time does not show which addresses exist."""
    try:
        hand_off(mail_password_reset, *arguments)
    finally:
        connections.close_all()


class ResetView(PasswordResetView):
    """Request a link to a new password. A job looks the user up."""

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        address, request = form.cleaned_data["email"], self.request
        mails, resets = count("mail", address.casefold()), count("reset", client_address(request))
        if mails > RESET_MAILS or resets > RESETS:
            form.add_error(None, TOO_MANY)
            return self.form_invalid(form)
        arguments = (address, request.get_host(), request.is_secure())
        if isinstance(mail_password_reset.get_backend(), AfterCommitBackend):
            Thread(target=mail_in_thread, args=arguments, name="password reset").start()
        else:  # another process runs it
            hand_off(mail_password_reset, *arguments)
        return redirect(self.get_success_url())


class ResetConfirmView(PasswordResetConfirmView):
    """Set a new password. The mailed link also confirms the address."""

    def form_valid(self, form: SetPasswordForm) -> HttpResponse:
        form.user.confirmed_email = form.user.email
        return super().form_valid(form)
