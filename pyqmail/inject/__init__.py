"""Messages from users: header completed, recipients found, handed to the queue."""
