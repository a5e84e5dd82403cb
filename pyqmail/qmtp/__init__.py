"""QMTP and QMQP, both ends: netstrings instead of lines."""
