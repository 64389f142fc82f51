"""The life of one job in the process that holds credentials."""
