"""Courier IMAP on virtual accounts: the service that its programs ask who a user is."""
