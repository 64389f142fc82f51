"""Which job runs next, and which workers are alive."""
