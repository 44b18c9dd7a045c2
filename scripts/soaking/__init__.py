"""A mount that is read for a long time, by many at once, in a cache that is too small."""
