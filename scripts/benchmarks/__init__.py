"""What a reader waits for, measured: each line of the table of figures to reach, as a ratio.

This machine may be shared and noisy, so every figure stands beside a baseline of the same run.
"""
