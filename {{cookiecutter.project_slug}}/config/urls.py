"""The URLs of the project."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

admin.site.site_header = admin.site.site_title = settings.PROJECT_NAME

urlpatterns = [
    path("", include("apps.core.urls")),
    path("accounts/", include("apps.accounts.urls")),
    # % for name, module in cookiecutter|chosen_modules if "url" in module
    path("{{ module.url }}", include("apps.{{ name }}.urls")),
    # % endfor
    path("admin/", admin.site.urls),
    # Add your pages here: see the note in INSTALLED_APPS
]
