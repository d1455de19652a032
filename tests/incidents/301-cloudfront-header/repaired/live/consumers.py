from channels.generic.websocket import AsyncWebsocketConsumer


class StockConsumer(AsyncWebsocketConsumer):
    """How many of a product are left."""

    async def receive(self, text_data=None, bytes_data=None):
        product = self.scope["url_route"]["kwargs"]["product"]
        await self.send(text_data=f"{product}: {text_data}")
