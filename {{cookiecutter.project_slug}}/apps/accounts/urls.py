"""Login, sign-up and passwords: Django's own views with two templates of this project."""

from django.contrib.auth import views
from django.urls import path

from .views import ResetConfirmView, ResetView, SignUpView

FORM = "accounts/form.html"
DONE = "accounts/done.html"

urlpatterns = [
    path("signup/", SignUpView.as_view(template_name=FORM), name="signup"),
    path("login/", views.LoginView.as_view(template_name="accounts/login.html"), name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path(
        "password_change/",
        views.PasswordChangeView.as_view(template_name=FORM),
        name="password_change",
    ),
    path(
        "password_change/done/",
        views.PasswordChangeDoneView.as_view(template_name=DONE),
        name="password_change_done",
    ),
    path("password_reset/", ResetView.as_view(template_name=FORM), name="password_reset"),
    path(
        "password_reset/done/",
        views.PasswordResetDoneView.as_view(
            template_name=DONE,
            extra_context={"text": "If the address has an account, a mail is on its way to it."},
        ),
        name="password_reset_done",
    ),
    path("reset/<uidb64>/<token>/", ResetConfirmView.as_view(), name="password_reset_confirm"),
    path(
        "reset/done/",
        views.PasswordResetCompleteView.as_view(
            template_name=DONE, extra_context={"text": "You can log in with the new password now."}
        ),
        name="password_reset_complete",
    ),
]
