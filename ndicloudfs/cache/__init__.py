"""What this machine remembers of NDI Cloud: the metadata index, document bodies, object blocks.

The room decides what to fetch and when; it knows neither names in a tree nor FUSE nor HTTP.
"""
