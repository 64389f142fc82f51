"""The sandbox of each process that handles a stranger's file: resource limits, Landlock, a seccomp filter.

`launch.py` starts the script `confine.py`, which applies the sandbox to itself and then executes the program.
The script runs under a bare `python -I -S`, so it and the modules that it imports (`kernel.py`, `limits.py`,
`landlock.py`, `seccomp.py`, `system_calls.py`) use only a small part of the standard library.
"""
