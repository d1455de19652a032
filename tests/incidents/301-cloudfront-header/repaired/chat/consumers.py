from channels.generic.websocket import WebsocketConsumer


class ChatConsumer(WebsocketConsumer):
    """A room where customers talk with the staff."""

    def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=f"{self.room}: {text_data}")
