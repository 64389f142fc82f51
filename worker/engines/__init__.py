"""The separation engines. They work on arrays only: no files of songs, no queue and no network."""
