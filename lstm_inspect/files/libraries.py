"""The libraries that read files, and which of them is known to have holes."""

import h5py
import numpy as np

# CVE-2025-7067 and others: a crafted file can make HDF5 write outside of its memory. Fixed in
# HDF5 2.0.0 (release_docs/CHANGELOG.md, "Fixed security issue CVE-2025-7067").
_SOUND_HDF5 = (2, 0, 0)


def library_versions() -> dict[str, str]:
    """The version of each library that sees the bytes of a file, by its name."""
    return {
        "NumPy": np.__version__,
        "h5py": h5py.version.version,
        "HDF5": h5py.version.hdf5_version,
    }


def known_holes() -> str | None:
    """What is known against the HDF5 in use, in one line; None if nothing is."""
    if h5py.version.hdf5_version_tuple >= _SOUND_HDF5:
        return None
    return (
        f"HDF5 {h5py.version.hdf5_version} has published holes in the parsing of damaged files "
        "(CVE-2025-7067 and others), fixed in 2.0.0; upgrade h5py once it comes with that"
    )
