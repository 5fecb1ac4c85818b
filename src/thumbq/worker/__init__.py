"""The consumer: from a received message to its disposition."""
