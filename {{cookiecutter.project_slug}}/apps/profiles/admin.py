from django.contrib import admin

from apps.accounts.admin import UserAdmin

from .models import Profile


class ProfileInline(admin.StackedInline):
    """The profile on the page of its user."""

    model = Profile
    can_delete = False


UserAdmin.inlines = [*UserAdmin.inlines, ProfileInline]
