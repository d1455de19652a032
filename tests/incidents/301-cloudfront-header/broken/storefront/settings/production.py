"""Production: behind CloudFront and a load balancer, which end TLS."""

import os

from .base import *

SECRET_KEY = os.environ.get("SECRET_KEY", SECRET_KEY)

# TLS ends before us: this header says that the client used it.
SECURE_PROXY_SSL_HEADER = ("HTTP_CLOUDFRONT_FORWARDED_PROTO", "https")
