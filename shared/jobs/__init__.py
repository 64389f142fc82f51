"""The job: its model, options, records and limits."""
