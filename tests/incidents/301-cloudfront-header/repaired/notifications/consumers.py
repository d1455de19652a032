from channels.generic.websocket import AsyncWebsocketConsumer


class NotificationConsumer(AsyncWebsocketConsumer):
    """Tells a customer what became of the order; acknowledges what it is told."""

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=f"seen: {text_data}")
