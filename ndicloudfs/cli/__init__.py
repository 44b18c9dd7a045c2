"""The command line: one module per command group; prints, asks, shows progress; knows no HTTP.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in, 4 offline.
"""

from ndicloudfs.cli.main import main

__all__ = ["main"]
