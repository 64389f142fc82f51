"""Long examples for the OpenAPI document, kept apart from their types."""
