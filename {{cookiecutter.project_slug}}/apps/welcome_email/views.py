from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from .confirmation import user_of


@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm an address with a button, because programs that scan mails open links."""
    user = user_of(token)
    if user and request.method == "POST":
        user.confirmed_email = user.email
        user.save(update_fields=["confirmed_email"])
        return render(request, "accounts/done.html", {"title": "Your address is confirmed"})
    context = {"title": "Confirm your address", "form": Form() if user else None}
    return render(request, "accounts/form.html", context)
