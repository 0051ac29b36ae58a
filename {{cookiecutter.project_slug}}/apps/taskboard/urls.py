from django.urls import path, register_converter
from django.urls.converters import PathConverter, StringConverter

from . import views


class BoardSlugConverter(StringConverter):
    """A slug with letters of any alphabet, which Django's own converter refuses."""

    regex = r"[-\w]+"


class BoardFileConverter(PathConverter):
    """The name of a file, without NUL, which PostgreSQL refuses in a text."""

    regex = r"[^\0]+"


register_converter(BoardSlugConverter, "board_slug")
register_converter(BoardFileConverter, "board_file")

app_name = "taskboard"
urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("attachments/<board_file:name>", views.attachment, name="attachment"),
    path("projects/<board_slug:project>/", views.board, name="board"),
    path("projects/<board_slug:project>/create/", views.edit, name="create"),
    path("projects/<board_slug:project>/tasks/<board_slug:task>/", views.detail, name="task"),
    path("projects/<board_slug:project>/tasks/<board_slug:task>/edit/", views.edit, name="edit"),
]
