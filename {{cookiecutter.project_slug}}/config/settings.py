"""Settings, from the environment and, for development, from the file ``.env``."""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from pythonjsonlogger.core import RESERVED_ATTRS

BASE_DIR = Path(__file__).resolve().parent.parent

PROJECT_NAME = {{ cookiecutter.project_name|python_string }}
PROJECT_DESCRIPTION = {{ cookiecutter.description|python_string }}

env = environ.Env()
env.read_env(BASE_DIR / ".env")


def required(name: str, example: str) -> str:
    """Return a variable of the environment that production must set.

    Raises:
        ImproperlyConfigured: when it is missing or empty.
    """
    # Not by env.str, for which a value that begins with $ names another variable.
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(
            f"The environment variable {name} is not set. In production set it,"
            f" for example {name}={example}; for development, cp .env.example .env."
        )
    return value


def parsed(
    name: str, url: str, schemes: Collection[str], parse: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """Return what the URL in a variable of the environment says.

    Raises:
        ImproperlyConfigured: when it is none of these schemes. The sentence does not repeat it:
            it may hold a password.
    """
    try:
        if url.partition("://")[0] in schemes:
            return parse(url)
    except ValueError:  # what stands in the place of the port is no number
        pass
    raise ImproperlyConfigured(
        f"The environment variable {name} is no URL of a kind that is known here: .env.example"
        " shows one. In a password write / as %2F, @ as %40, # as %23 and so on."
    )


# Development or production

DEBUG = env.bool("DEBUG", default=False)

# A key that everybody knows: it serves development and nothing else.
DEVELOPMENT_KEY = "django-insecure-development-only"

if DEBUG:
    SECRET_KEY = os.environ.get("SECRET_KEY") or DEVELOPMENT_KEY
    EMAIL_URL = os.environ.get("EMAIL_URL") or "consolemail://"
else:
    SECRET_KEY = required("SECRET_KEY", "$(openssl rand -base64 48)")
    required("ALLOWED_HOSTS", "www.example.com")
    EMAIL_URL = required("EMAIL_URL", "smtp+tls://user:password@mail.example.com:587")
    if SECRET_KEY.startswith("django-insecure-"):
        raise ImproperlyConfigured(
            "The environment variable SECRET_KEY holds the key for development, which"
            " everybody knows. Set one of your own: SECRET_KEY=$(openssl rand -base64 48)."
        )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", cast=str.strip, default=[])
# Where links in mails lead.
SITE_URL = os.environ.get("SITE_URL") or (
    "http://127.0.0.1:8000" if DEBUG else f"https://{ALLOWED_HOSTS[0].lstrip('.')}"
)

# Applications

INSTALLED_APPS = [
    "apps.core",
    "apps.accounts",
    # % for name, module in cookiecutter|chosen_modules
    "apps.{{ name }}",
    # % endfor
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    # Apps of the project's own: here they stay clear of what an update of the template changes.
]

MIDDLEWARE = [
    # Before whatever would refuse or redirect a probe, which knows neither host name nor HTTPS.
    "apps.core.middleware.probe_middleware",
    # Early, so that every other response and line of the log names its request.
    "apps.core.middleware.actor_middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    # % for name, module in cookiecutter|chosen_modules
    # % for middleware in module.get("middleware", [])
    "{{ middleware }}",
    # % endfor
    # % endfor
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.core.lookups.LookupMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.core.context_processors.site",
            ],
        },
    },
]

# Database: SQLite, or what DATABASE_URL names

if database_url := os.environ.get("DATABASE_URL"):
    DATABASES = {"default": parsed("DATABASE_URL", database_url, env.DB_SCHEMES, env.db_url_config)}
else:
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}
    }

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, since the threads of a test cannot share a database in memory.
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
    DATABASES["default"]["OPTIONS"] = {
        # Writers queue from the start of a transaction instead of failing in its middle.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Readers do not wait for a writer, and a commit does not wait for the disk twice.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# Users

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["apps.accounts.backends.LimitedBackend"]
LOGIN_REDIRECT_URL = "core:home"
LOGOUT_REDIRECT_URL = "core:home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# The limits for strangers are counted here, by each process for itself. A cache that processes
# share, such as Redis, counts them together.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# Mail: on the console in development, else what EMAIL_URL names

mail = parsed("EMAIL_URL", EMAIL_URL, env.EMAIL_SCHEMES, env.email_url_config)
MAILERS = {"default": {"BACKEND": mail["EMAIL_BACKEND"]}}
if mail["EMAIL_BACKEND"].endswith("smtp.EmailBackend"):
    MAILERS["default"]["OPTIONS"] = {
        "host": mail["EMAIL_HOST"],
        "port": mail["EMAIL_PORT"],
        "username": mail["EMAIL_HOST_USER"],
        "password": mail["EMAIL_HOST_PASSWORD"],
        "use_tls": mail.get("EMAIL_USE_TLS", False),
        "use_ssl": mail.get("EMAIL_USE_SSL", False),
        # A mail server that does not answer must not hold a request for minutes.
        "timeout": 10,
    }
elif mail["EMAIL_BACKEND"].endswith("filebased.EmailBackend"):
    MAILERS["default"]["OPTIONS"] = {"file_path": mail["EMAIL_FILE_PATH"]}
elif mail["EMAIL_BACKEND"].endswith("console.EmailBackend"):
    MAILERS["default"]["BACKEND"] = "apps.core.mail.ReadableConsoleBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="{{ cookiecutter.author_email }}")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# Static files

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# Tests run with this file's DEBUG but with settings.DEBUG off, which WhiteNoise would go by.
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_USE_FINDERS = DEBUG

# Security

SECURE_CSP = {
    "default-src": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "object-src": [CSP.NONE],
}
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", cast=str.strip, default=[])
X_FRAME_OPTIONS = "DENY"

# Only for a proxy that always sets X-Forwarded-Proto and X-Request-ID itself, and adds the
# address of the client to X-Forwarded-For.
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
TRUST_REQUEST_ID = BEHIND_PROXY

if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # Being in the list that browsers bring along is hard to undo: that is for the owner to decide.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    if BEHIND_PROXY:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Logging: everything on standard error, for whatever runs the process to collect; in production
# one JSON object a line, since programs read it there

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "apps.core.log.RequestFilter"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message", "request_id"],
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": "time",
            "json_ensure_ascii": False,
            # Objects, which say nothing once they are text.
            "reserved_attrs": [*RESERVED_ATTRS, "request", "server_time"],
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request"],
            "formatter": env.str("LOG_FORMAT", default="line" if DEBUG else "json"),
        }
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    # Django's own console handler would print every line a second time.
    "loggers": {"django": {"handlers": []}},
}

# Jobs and modules

{{ cookiecutter|module_settings }}

# Settings of the project's own: see the note in INSTALLED_APPS
