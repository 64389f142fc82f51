"""Every shape that clients see: requests, responses, errors, the OpenAPI document."""
