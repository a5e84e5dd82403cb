"""Deliveries: what qmail-send orders from its spawners and what they report."""
