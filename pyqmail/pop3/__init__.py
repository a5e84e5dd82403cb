"""POP3 (RFC 1939): commands, the two states of a session, the Maildir behind it, the listener."""
