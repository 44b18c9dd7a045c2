"""FUSE: the binding, operations with their errno, the daemon, mount points."""
