"""Primitives: nothing here knows about the queue, SMTP or any one program."""
