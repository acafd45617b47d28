"""Rows that are not in memory here: on disk, on the workers of a cluster, or in other processes."""
