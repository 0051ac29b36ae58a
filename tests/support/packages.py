"""Packages that many projects use, beside which a project of the template has to work."""

from typing import Final

# With what they need themselves, less what the constraints in pyproject.toml pin.
PACKAGES: Final = (
    "channels==4.3.2",
    "django-allauth[socialaccount]==65.22.1",
    "django-debug-toolbar==8.0.0",
    "django-guardian==3.5.2",
    "django-import-export==4.4.3",
    "djangorestframework==3.18.3",
    "factory-boy==3.3.3",
    "cffi==2.1.1",
    "cryptography==50.0.2",
    "diff-match-patch==20241021",
    "faker==40.63.0",
    "oauthlib==4.0.1",
    "pycparser==3.12",
    "pyjwt==2.15.1",
    "tablib==3.10.0",
)
