from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.models import User

from .models import Welcome


@admin.register(Welcome)
class WelcomeAdmin(admin.ModelAdmin):
    """Shows which welcome mails were sent and which are still due; read-only."""

    list_display = ("user", "owed_since", "sent_at", "attempts", "last_error")
    list_filter = (("sent_at", admin.EmptyFieldListFilter), "owed_since")
    list_select_related = ("user",)
    search_fields = (f"user__{User.USERNAME_FIELD}", f"user__{User.get_email_field_name()}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Welcome | None = None) -> bool:
        return False
