from django.urls import path

from .views import OwnProfileView

app_name = "profiles"
urlpatterns = [path("", OwnProfileView.as_view(), name="edit")]
