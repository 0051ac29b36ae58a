from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest

from .models import User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Users; the form for a new one asks for the e-mail address too."""

    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "email", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[type[InlineModelAdmin]]:
        """Show inlines for existing users only: receivers create the rows of a new one."""
        return list(super().get_inlines(request, obj)) if obj else []
