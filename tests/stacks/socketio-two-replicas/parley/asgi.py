import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parley.settings.production")
django_application = get_asgi_application()

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=["https://chat.example.com"])
application = socketio.ASGIApp(server, django_application)


@server.event
async def say(sid, text):
    await server.emit("said", text)
