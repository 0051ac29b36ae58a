from django.contrib import admin
from django.urls import path

from . import views

app_name = "signal_map"
urlpatterns = [path("", admin.site.admin_view(views.signals), name="signals")]
