"""The version of the client; it follows the version of the server."""

__version__ = "0.1.0"
