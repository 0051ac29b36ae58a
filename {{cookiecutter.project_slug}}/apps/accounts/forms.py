from typing import Any, ClassVar, Final

from django.contrib.auth.forms import UserCreationForm
from django.core.validators import RegexValidator

from .models import User

# Other letters look like these. Mail systems replace some of them, and ignore quotes.
PLAIN: Final = RegexValidator(r"^[!#-~]+\Z", "Use ASCII letters, digits and signs, but no quotes.")


class SignUpForm(UserCreationForm):
    """The name, the e-mail address and the password of a new user."""

    class Meta:
        model = User
        fields: ClassVar = [User.USERNAME_FIELD, User.get_email_field_name()]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in {*self.Meta.fields}:
            self.fields[name].validators.append(PLAIN)
