"""Files that may not be trusted, and files that must be whole.

Bytes in: one reading of a file, limits, strict readers of zip, JSON, ``.npy`` and HDF5, and the
confined process. Bytes out: a file that gets its name once it is whole.
"""
