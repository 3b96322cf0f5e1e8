"""Recorded replays: in memory, in dumps on disk, and as statistics."""
