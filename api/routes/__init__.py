"""The HTTP endpoints: each parses its request, calls one service, and renders the response."""
