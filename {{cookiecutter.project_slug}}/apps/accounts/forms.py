from typing import ClassVar

from django.contrib.auth.forms import UserCreationForm

from .models import User


class SignUpForm(UserCreationForm):
    """Username, e-mail address and password of a new user."""

    class Meta:
        model = User
        fields: ClassVar = ["username", "email"]
