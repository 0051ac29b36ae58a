"""More views: users who come into the request in every way, and views that write nothing audited."""

from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import Permission
from django.http import HttpRequest, HttpResponse
from django.urls import path

from ..examples.models import Author
from ..test_actor import urlpatterns as those_of_the_contract
from ..test_actor import write


def leave(request: HttpRequest) -> HttpResponse:
    request.user.delete()
    return HttpResponse()


def authenticate_late(request: HttpRequest) -> HttpResponse:
    """Set the user inside the view, like Django REST framework."""
    request.user = get_user_model().objects.get(username=request.GET["username"])
    return write(request)


def log_in(request: HttpRequest) -> HttpResponse:
    user = get_user_model().objects.get(username=request.GET["username"])
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return write(request)


async def write_async(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name=request.GET["name"])
    return HttpResponse()


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Author.objects.count()))


def write_unaudited(request: HttpRequest) -> HttpResponse:
    changed = Permission.objects.filter(codename="add_user").update(name="Let users in")
    return HttpResponse(str(changed))


def write_and_fail(request: HttpRequest) -> HttpResponse:
    write(request)
    raise RuntimeError


urlpatterns = [
    *those_of_the_contract,
    path("leave/", leave),
    path("write-async/", write_async),
    path("authenticate-late/", authenticate_late),
    path("log-in/", log_in),
    path("read/", read),
    path("write-unaudited/", write_unaudited),
    path("write-and-fail/", write_and_fail),
]
