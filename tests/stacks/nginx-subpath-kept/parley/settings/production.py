"""Production: TLS ends at the proxy, and the site lives under /chat."""

from .base import *

FORCE_SCRIPT_NAME = "/chat"
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
