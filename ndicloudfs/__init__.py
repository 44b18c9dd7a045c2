"""NDI Cloud as a directory: organizations, datasets, documents and files.

The rooms, from the outside in, each importing only what stands below it:
``cli`` -> ``mount`` -> ``vfs`` -> ``cache`` -> ``cloud``; ``sandbox`` stands alone.
"""

__version__ = "0.1.0"
