"""Local deliveries: what qmail-local does with one message for one recipient."""
