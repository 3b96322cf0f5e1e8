"""Reads files that cannot be trusted, and writes files that are never left half-written.

Reading: each file is read once, within limits, by strict readers of zip, JSON, ``.npy`` and HDF5;
a confined process parses HDF5. Writing: a file gets its name once it is complete.
"""
