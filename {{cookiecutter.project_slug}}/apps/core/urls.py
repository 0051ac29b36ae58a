from django.contrib import admin
from django.urls import path

from . import signal_views, views

app_name = "core"
urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("health/live/", views.live, name="live"),
    path("admin/signals/", admin.site.admin_view(signal_views.signals), name="signals"),
    # Browsers ask for it on pages that name no icon, such as the admin's.
    path("favicon.ico", views.favicon, name="favicon"),
]
