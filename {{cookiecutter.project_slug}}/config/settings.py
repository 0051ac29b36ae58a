"""Settings, from the environment and, for development, from the file ``.env``."""

from pathlib import Path
from typing import Any

from django.utils.csp import CSP
from pythonjsonlogger.core import RESERVED_ATTRS

from config import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

PROJECT_NAME = {{ cookiecutter.project_name|python_string }}
PROJECT_DESCRIPTION = {{ cookiecutter.description|python_string }}

env.load(BASE_DIR / ".env")

# Development or production

DEBUG = env.read("DEBUG", env.flag, False, "1")

# Production must set these two and EMAIL_URL. Everybody knows the key of development.
SECRET_KEY = env.read(
    "SECRET_KEY",
    str if DEBUG else env.secret_key,
    "django-insecure-development-only" if DEBUG else None,
    "'what openssl rand -base64 48 prints'",
)
ALLOWED_HOSTS: list[str] = env.read(
    "ALLOWED_HOSTS", env.hosts, [] if DEBUG else None, "www.example.com"
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
    # Add your apps here, away from the lines that an update of the template changes.
]

MIDDLEWARE = [
    # It comes first, so that the log names every request and all probes are answered.
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
    "apps.core.middleware.LookupMiddleware",
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
                "apps.core.modules.site",
            ],
        },
    },
]

# Database: SQLite, or what DATABASE_URL names

database: dict[str, Any] = env.read(
    "DATABASE_URL",
    env.database,
    {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"},
    "postgres://user:password@127.0.0.1:5432/{{ cookiecutter.project_slug }}",
)
if database["ENGINE"].endswith("sqlite3"):
    # This is a file, because the threads of a test cannot share a database in memory.
    database["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
    database["OPTIONS"] = {
        # Writers wait at the start of a transaction instead of failing in its middle.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # Readers do not wait for a writer. A commit does not wait for the disk.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Seconds to connect, and milliseconds until a connection without answers is closed.
    database["OPTIONS"] = {"connect_timeout": 3, "tcp_user_timeout": 30_000} | database["OPTIONS"]
    database["CONN_MAX_AGE"] = env.read("CONN_MAX_AGE", env.number, 60, "60")
    database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": database}

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

# Limits for strangers count here, in each process. A shared cache counts for all processes.
cache = "django.core.cache.backends.locmem.LocMemCache"
CACHES = {"default": {"BACKEND": cache, "OPTIONS": {"MAX_ENTRIES": 100_000}}}

# Language and time

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"

# Mail: on the console in development, else as EMAIL_URL says

console = env.mailer("consolemail://") if DEBUG else None
server = "smtp+tls://user:password@mail.example.com:587"
MAILERS = {"default": env.read("EMAIL_URL", env.mailer, console, server)}
DEFAULT_FROM_EMAIL = env.read(
    "DEFAULT_FROM_EMAIL", env.address, "{{ cookiecutter.author_email }}", "me@example.com"
)
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
# In tests settings.DEBUG is off, so WhiteNoise must use the DEBUG of this file.
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
CSRF_TRUSTED_ORIGINS: list[str] = env.read(
    "CSRF_TRUSTED_ORIGINS", env.origins, [], "https://www.example.com"
)
X_FRAME_OPTIONS = "DENY"

# Only for a proxy that always sets X-Forwarded-Proto and X-Request-ID itself, and adds the address
# of the client to the end of X-Forwarded-For.
BEHIND_PROXY = env.read("BEHIND_PROXY", env.flag, False, "1")
TRUST_REQUEST_ID = BEHIND_PROXY

if not DEBUG:
    SECURE_SSL_REDIRECT = env.read("SECURE_SSL_REDIRECT", env.flag, True, "1")
    SECURE_HSTS_SECONDS = env.read("SECURE_HSTS_SECONDS", env.number, 3600, "3600")
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    # The list of sites that browsers include is hard to leave, so the owner decides about it.
    SILENCED_SYSTEM_CHECKS = ["security.W021"]
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    if BEHIND_PROXY:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Logging: on standard error; in production one JSON object a line, for programs

LOG_FORMAT = env.read("LOG_FORMAT", env.one_of("line", "json"), "line" if DEBUG else "json", "json")
levels = env.one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_LEVEL = env.read("LOG_LEVEL", levels, "INFO", "INFO")
# Fields that callers must not set, and objects that have no useful text.
not_from_callers = ("level", "logger", "time", "request", "server_time")
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
            "json_serializer": "ext://apps.core.log.dumps",
            "reserved_attrs": [*RESERVED_ATTRS, *not_from_callers],
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request"],
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # Django's own console handler would print every line a second time.
    "loggers": {"django": {"handlers": []}},
}

# Jobs and modules

{{ cookiecutter|module_settings }}

# Add your settings here: see the note in INSTALLED_APPS
