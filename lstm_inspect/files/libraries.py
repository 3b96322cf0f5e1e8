"""The versions of the libraries that read files, and known security holes in them."""

import h5py
import numpy as np

# CVE-2025-7067 and others: a crafted file can make HDF5 write outside of its memory. Fixed in
# HDF5 2.0.0 (release_docs/CHANGELOG.md, "Fixed security issue CVE-2025-7067").
_SOUND_HDF5 = (2, 0, 0)


def library_versions() -> dict[str, str]:
    """Returns the version of each library that sees the bytes of a file, by its name."""
    return {
        "NumPy": np.__version__,
        "h5py": h5py.version.version,
        "HDF5": h5py.version.hdf5_version,
    }


def known_holes() -> str | None:
    """Returns one line about security holes in the installed HDF5; None if none is known."""
    if h5py.version.hdf5_version_tuple >= _SOUND_HDF5:
        return None
    return (
        f"HDF5 {h5py.version.hdf5_version} has known security holes in parsing damaged files "
        "(CVE-2025-7067 and others); upgrade h5py once it comes with HDF5 2.0.0, which fixes them"
    )
