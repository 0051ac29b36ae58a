"""Login, sign-up and passwords: mostly Django's views with templates of this project."""

from typing import Any

from django.contrib.auth import views
from django.urls import path

from .views import ResetConfirmView, ResetView, SignUpView

# Route, view, template and name.
PAGES: list[tuple[str, Any, str, str]] = [
    ("signup", SignUpView, "form", "signup"),
    ("login", views.LoginView, "login", "login"),
    ("logout", views.LogoutView, "done", "logout"),
    ("password_change", views.PasswordChangeView, "form", "password_change"),
    ("password_change/done", views.PasswordChangeDoneView, "done", "password_change_done"),
    ("password_reset", ResetView, "form", "password_reset"),
    ("password_reset/done", views.PasswordResetDoneView, "mailed", "password_reset_done"),
    ("reset/<uidb64>/<token>", ResetConfirmView, "form", "password_reset_confirm"),
    ("reset/done", views.PasswordResetCompleteView, "reset", "password_reset_complete"),
]

urlpatterns = [
    path(f"{route}/", view.as_view(template_name=f"accounts/{template}.html"), name=name)
    for route, view, template, name in PAGES
]
