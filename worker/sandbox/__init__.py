"""The sandbox around each process that handles a stranger's file: limits, Landlock, a seccomp filter.

`confine.py` is a script that puts the sandbox on and becomes the program; `launch.py` starts it.
The script runs under a bare `python -I -S`, so it and the modules that it imports (`kernel.py`, `limits.py`,
`landlock.py`, `seccomp.py`, `system_calls.py`) use nothing but the standard library, and little of that.
"""
