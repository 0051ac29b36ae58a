from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import User

# One field, where people log in with their address.
NAMES = tuple(dict.fromkeys((User.USERNAME_FIELD, User.get_email_field_name())))


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Users; the form for a new one asks for the e-mail address too."""

    list_display = (*NAMES, "first_name", "last_name", "is_staff")
    search_fields = (*NAMES, "first_name", "last_name")
    ordering = (User.USERNAME_FIELD,)
    fieldsets = (
        (None, {"fields": (*NAMES, "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name")}),
        *tuple(DjangoUserAdmin.fieldsets or ())[2:],
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (*NAMES, "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[type[InlineModelAdmin]]:
        """Show inlines for existing users only: receivers create the rows of a new one."""
        return list(super().get_inlines(request, obj)) if obj else []
