from django.urls import path, re_path

from chat.consumers import ChatConsumer
from live.consumers import StockConsumer
from notifications.consumers import NotificationConsumer

websocket_urlpatterns = [
    re_path(r"^ws/chat/(?P<room>\w+)/$", ChatConsumer.as_asgi()),
    path("ws/notifications/", NotificationConsumer.as_asgi()),
    path("ws/live/<int:product>/", StockConsumer.as_asgi()),
]
