"""What stands beside the mount: making a dataset out of a folder or out of generated documents.

Works on the cloud client like any other program; knows nothing of FUSE, caches or names.
"""
