from django.urls import path

from .views import confirm

app_name = "welcome_email"
urlpatterns = [path("<token>/", confirm, name="confirm")]
