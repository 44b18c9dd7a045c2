"""An NDI Cloud that runs on this machine: the same calls, quirks and delays, and faults on demand.

Knows nothing of the other rooms, so that it stays an independent witness of what they do. What it
imitates is described in the API contract; ``docs/sandbox.md`` says how to run and to steer it.
"""
