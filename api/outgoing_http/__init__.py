"""Every HTTP request that goes out: one deadline, public addresses only."""
