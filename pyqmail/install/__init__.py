"""Setting up an installation, checking it, and keeping its services running."""
