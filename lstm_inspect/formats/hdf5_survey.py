"""What an HDF5 file holds and where each array lies in it; HDF5 itself reads no array.

It gives JSON data, for it runs in a confined child::

    {"groups": {path: {attribute: str or list of str}},
     "arrays": {path: {"dtype": "<f4", "shape": [2, 4], "is_bfloat16": False, and one of
                       "offset": 2048,
                       "hex": what is stored in the header of the object,
                       "chunks": [[first indices, filter mask, offset, stored size] ...]
                       with "chunk_shape": [1, 4] and "filters": [2, 1]}},
     "unread": {path: why its numbers are none}}

Only attributes of text are listed: Keras writes no others, but for empty lists.
"""

import codecs
import io
import math
import os
from collections.abc import Iterator
from typing import Any

from lstm_inspect.errors import InspectError, ModelFileError
from lstm_inspect.limits import Limits

# HDF5 would load code from a folder for a filter that it lacks; it asks once, when it starts
# (HDF5 1.14.6, H5PLint.c, `H5PL__init_package`).
_preload = os.environ.get("HDF5_PLUGIN_PRELOAD")
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
try:
    import h5py
    import numpy as np
    from h5py import h5a, h5d, h5g, h5l, h5o, h5t
finally:
    if _preload is None:
        del os.environ["HDF5_PLUGIN_PRELOAD"]
    else:
        os.environ["HDF5_PLUGIN_PRELOAD"] = _preload

# Imported when first asked for, which is too late in a child that can open nothing.
codecs.lookup("ascii")

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3

_SMALL_CHUNK = 1 << 20
_BFLOAT16 = np.dtype("V2")


def survey(data: bytes | memoryview, what: str, limits: Limits) -> dict[str, Any]:
    """Lists the groups, texts and arrays of an HDF5 file.

    Args:
        data: The bytes of the file.
        what: What to call it in an error.
        limits: What it may claim.

    Raises:
        ModelFileError: Damaged, or it leads out of itself.
        LimitError: It claims more than is granted.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _Survey(len(data), what, limits).of(h5g.open(file.id, b"/"))
    except InspectError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # What h5py raises where HDF5 stumbles over damaged bytes: any of these, by where it is.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{what}: damaged or truncated HDF5 data ({reason})") from error


class _Survey:
    """One walk over a file, each object once, whatever its links make of it."""

    def __init__(self, size: int, what: str, limits: Limits) -> None:
        self._size = size
        self._what = what
        self._limits = limits
        self._objects = 0
        self._array_bytes = 0

    def of(self, root: Any) -> dict[str, Any]:
        groups: dict[str, Any] = {"": root}
        datasets: dict[str, Any] = {}
        seen = {h5o.get_info(root).addr}
        todo = [("", root)]
        while todo:
            above, group = todo.pop()
            for raw in group:
                path = self._path(above, raw, group)
                info = h5o.get_info(group, raw)
                if info.addr in seen:
                    raise self._refusal(f"{path} is linked more than once")
                seen.add(info.addr)
                if info.type == h5o.TYPE_GROUP:
                    self._limits.check("hdf5_depth", path.count("/") + 1, self._what)
                    groups[path] = h5o.open(group, raw)
                    todo.append((path, groups[path]))
                elif info.type == h5o.TYPE_DATASET:
                    datasets[path] = h5o.open(group, raw)
        stored = sum(dataset.get_storage_size() for dataset in datasets.values())
        self._limits.check("hdf5_metadata_bytes", max(0, self._size - stored), self._what)
        found = {path: self._array(path, dataset) for path, dataset in datasets.items()}
        return {
            "groups": {path: dict(self._texts(group)) for path, group in groups.items()},
            "arrays": {path: each for path, each in found.items() if isinstance(each, dict)},
            "unread": {path: each for path, each in found.items() if isinstance(each, str)},
        }

    def _path(self, above: str, raw: bytes, group: Any) -> str:
        self._count()
        try:
            path = f"{above}/{raw.decode()}".lstrip("/")
        except UnicodeDecodeError:
            raise self._refusal(f"a name that is not UTF-8: {raw[:40]!r}") from None
        if group.links.get_info(raw).type != h5l.TYPE_HARD:
            raise self._refusal(f"{path} is a soft or external link, which may lead elsewhere")
        return path

    def _texts(self, holder: Any) -> Iterator[tuple[str, str | list[str]]]:
        """The attributes of an object that are text, or a list of texts."""
        for index in range(h5a.get_num_attrs(holder)):
            self._count()
            attribute = h5a.open(holder, index=index)
            if attribute.get_type().get_class() != h5t.STRING or len(attribute.shape) > 1:
                continue
            self._limits.check("hdf5_metadata_bytes", attribute.get_storage_size(), self._what)
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            texts = value.tolist()
            yield (
                _text(attribute.name),
                [_text(each) for each in texts] if value.ndim else _text(texts),
            )

    def _array(self, path: str, dataset: Any) -> dict[str, Any] | str:
        """Where an array lies, or why what lies there is no array of numbers."""
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        if layout == h5d.VIRTUAL:
            raise self._refusal(f"{path} is a virtual array, whose numbers lie elsewhere")
        if layout == h5d.CONTIGUOUS and creation.get_external_count():
            raise self._refusal(f"the numbers of {path} lie in another file")
        dtype = _dtype(dataset.get_type())
        shape = dataset.shape
        if dtype is None or shape is None:
            return "is not made of floating-point or whole numbers"
        size = math.prod(shape) * dtype.itemsize
        self._array_bytes += size
        self._limits.check("weight_bytes", self._array_bytes, f"{self._what}: {path}")
        found: dict[str, Any] = {"dtype": dtype.str, "shape": shape}
        # NumPy has no bfloat16: Keras stores its two bytes as they are, and only in a .keras says
        # so (keras 3.15.1, saving_lib.py, `H5IOStore`).
        found["is_bfloat16"] = dtype == _BFLOAT16 or ("dtype", "bfloat16") in self._texts(dataset)
        if not size:
            return {**found, "hex": ""}
        if layout == h5d.CHUNKED:
            return self._chunks(path, dataset, creation, size, found)
        if dataset.get_storage_size() != size:
            return "was never written: the file holds no numbers for it"
        if layout == h5d.CONTIGUOUS:
            if dataset.get_offset() + size > self._size:
                raise self._refusal(f"{path} lies beyond the end of the file")
            return {**found, "offset": dataset.get_offset()}
        stored = np.empty(shape, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, stored)
        return {**found, "hex": stored.tobytes().hex()}

    def _chunks(
        self, path: str, dataset: Any, creation: Any, size: int, found: dict[str, Any]
    ) -> dict[str, Any] | str:
        filters = [creation.get_filter(each)[0] for each in range(creation.get_nfilters())]
        if not {DEFLATE, SHUFFLE, FLETCHER32}.issuperset(filters):
            return f"is stored with a filter that is not read ({filters}); repack it with h5repack"
        shape, chunk_shape = found["shape"], creation.get_chunk()
        chunk_size = math.prod(chunk_shape) * np.dtype(found["dtype"]).itemsize
        if chunk_size > max(4 * size, _SMALL_CHUNK):
            raise self._refusal(f"{path} has chunks of {chunk_size} bytes for an array of {size}")
        count = dataset.get_num_chunks()
        self._count(count)
        if count != math.prod(-(-a // b) for a, b in zip(shape, chunk_shape, strict=True)):
            return "was not written to its end: the file holds a part of its numbers"
        chunks = [dataset.get_chunk_info(each) for each in range(count)]
        return {
            **found,
            "chunk_shape": chunk_shape,
            "filters": filters,
            "chunks": [
                (each.chunk_offset, each.filter_mask, each.byte_offset, each.size)
                for each in chunks
            ],
        }

    def _count(self, more: int = 1) -> None:
        self._objects += more
        self._limits.check("hdf5_objects", self._objects, self._what)

    def _refusal(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self._what}: {reason}")


def _dtype(stored: Any) -> np.dtype[Any] | None:
    """The NumPy dtype whose bytes are those of a stored type; None if there is none."""
    if stored.get_class() not in (h5t.FLOAT, h5t.INTEGER, h5t.OPAQUE):
        return None
    dtype: np.dtype[Any] = np.dtype(stored.dtype)
    if dtype != _BFLOAT16 and (dtype.kind not in "fiu" or dtype.itemsize > 8):
        return None
    # A number of unusual bits gets the next larger dtype, of other bytes.
    return dtype if h5t.py_create(dtype).equal(stored) or dtype == _BFLOAT16 else None


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
