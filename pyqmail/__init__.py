"""pyqmail: qmail, written in Python.

Imports point one way: programs -> subsystems (send, spawn, delivery, smtp, pop3, inject,
install) -> shared services (queue, users, auth) -> base -> standard library.
"""
