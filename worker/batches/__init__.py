"""Background steps of batches."""
