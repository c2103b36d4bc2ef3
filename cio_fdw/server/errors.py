"""What can go wrong around a server: reported by the command line as one message and exit code 1."""

from __future__ import annotations


class ServerError(Exception):
    """A server could not be built for, started or set up. The text says what to do."""
