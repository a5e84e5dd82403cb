"""qmail-send's parts: preprocessing, schedule, deliveries, bounces."""
