"""Production: TLS ends at the proxy, and the environment says which hosts there are."""

import os

from .base import *

ALLOWED_HOSTS = os.environ.get("PARLEY_HOSTS", "localhost").split(",")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
