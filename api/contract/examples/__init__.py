"""Examples of the OpenAPI document that are too long to stand beside their types."""
