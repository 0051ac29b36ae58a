from django.urls import path

from . import views

app_name = "core"
urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("health/live/", views.live, name="live"),
    # Browsers ask for it on pages that name no icon, such as the admin's.
    path("favicon.ico", views.favicon, name="favicon"),
]
