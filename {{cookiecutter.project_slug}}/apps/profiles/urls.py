from django.urls import path

from .views import OwnProfileView, ProfileView

app_name = "profiles"
urlpatterns = [
    path("", OwnProfileView.as_view(), name="edit"),
    path("<int:user>/", ProfileView.as_view(), name="detail"),
]
