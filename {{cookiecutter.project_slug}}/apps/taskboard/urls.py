from django.urls import path

from . import views

app_name = "taskboard"
# Slugs may hold letters of any alphabet, which Django's own slug converter refuses.
urlpatterns = [
    path("", views.index, name="index"),
    path("attachments/<path:name>", views.attachment, name="attachment"),
    path("projects/<str:project>/", views.board, name="board"),
    path("projects/<str:project>/create/", views.create, name="create"),
    path("projects/<str:project>/tasks/<str:task>/", views.detail, name="task"),
    path("projects/<str:project>/tasks/<str:task>/edit/", views.edit, name="edit"),
]
