"""Views in which users act in every way that receivers have to see."""

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse
from django.urls import path

from .models import Author


def write(request: HttpRequest) -> HttpResponse:
    Author.objects.create(name=request.GET["name"])
    return HttpResponse()


async def write_async(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name=request.GET["name"])
    return HttpResponse()


def authenticate_late(request: HttpRequest) -> HttpResponse:
    """Set the user inside the view, like Django REST framework."""
    request.user = get_user_model().objects.get(username=request.GET["username"])
    return write(request)


def log_in(request: HttpRequest) -> HttpResponse:
    user = get_user_model().objects.get(username=request.GET["username"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return write(request)


def leave(request: HttpRequest) -> HttpResponse:
    """Delete one's own account."""
    request.user.delete()
    return HttpResponse()


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Author.objects.count()))


urlpatterns = [
    path("write/", write),
    path("write-async/", write_async),
    path("authenticate-late/", authenticate_late),
    path("log-in/", log_in),
    path("leave/", leave),
    path("read/", read),
]
