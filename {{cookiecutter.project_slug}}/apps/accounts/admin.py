from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import User

# Only one field, if people log in with their e-mail address.
NAMES = tuple(dict.fromkeys((User.USERNAME_FIELD, User.get_email_field_name())))
PASSWORDS = ("usable_password", "password1", "password2")


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Users. The form for a new user also asks for the e-mail address."""

    list_display = (*NAMES, "first_name", "last_name", "is_staff")
    search_fields = (*NAMES, "first_name", "last_name")
    ordering = (User.USERNAME_FIELD,)
    fieldsets = (
        (None, {"fields": (*NAMES, "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name")}),
        *tuple(DjangoUserAdmin.fieldsets or ())[2:],
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": (*NAMES, *PASSWORDS)}),)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[type[InlineModelAdmin]]:
        """Show inlines for existing users only, because receivers create a new user's rows."""
        return list(super().get_inlines(request, obj)) if obj else []
