"""How what comes from outside is read: JSON of clients, records of other versions, names of files."""
