"""The tree of NDI Cloud: nodes, names, attributes and open files; knows no FUSE and no HTTP."""
