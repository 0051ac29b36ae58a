from django.urls import path

from .figures import figures

app_name = "handoff"
urlpatterns = [path("", figures, name="figures")]
