"""Production: TLS ends at the proxy, and the site lives below /tool."""

from .base import *

FORCE_SCRIPT_NAME = "/tool"
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
