"""What orders take from Kafka: channels' orders from the intake topic, and the allocator's answers. Each batch is one transaction with
everything that it causes: orders, events, dead letters, and the word to those who wait."""

from services.orders.feeds.feed import Feed, Feeds

__all__ = ["Feed", "Feeds"]
