"""SMTP, both ends."""
