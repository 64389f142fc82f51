"""Access to S3-compatible storage."""
