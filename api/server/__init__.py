"""The HTTP server's settings and what is added to it. Nothing imports this package."""
