"""Lists what an HDF5 file holds and where each array lies in it.

HDF5 itself reads no array, except one that lies in a header. The result is JSON data, because this
code runs in a confined child::

    {"groups": {path: {attribute: str, list of str, or null for anything else}},
     "arrays": {path: {"dtype": "<f4", "shape": [2, 4], "is_bfloat16": False,
                       "is_said_bfloat16": False (only by an attribute),
                       "is_said_bool": False (the same), and one of
                       "offset": 2048,
                       "hex": the bytes of an array in the header of its object,
                       "chunk": [1, 4], with
                           "filters": those that each chunk went through, such as [2, 1],
                           "chunks": [[first index on each axis, offset, size, filters left out]]}},
     "unread": {path: why it has no numbers},
     "claimed": the bytes of all arrays}

Keras writes only text attributes, and empty lists, which count as neither text nor lists of text.
"""

import codecs
import io
import math
import os
from collections.abc import Iterator
from typing import Any

from lstm_inspect.errors import InspectError, ModelFileError
from lstm_inspect.files.limits import Limits

# HDF5 would load code from a plugin folder for a filter or a driver that it lacks. It reads these
# variables once, when it starts (HDF5 1.14.6, H5PLint.c, `H5PL__init_package`, and H5FD.c).
_set = {name: os.environ.pop(name, None) for name in ("HDF5_PLUGIN_PRELOAD", "HDF5_DRIVER")}
os.environ["HDF5_PLUGIN_PRELOAD"] = "::"
try:
    import h5py as h5py  # who writes HDF5 takes it from here, after these settings
    import numpy as np
    from h5py import h5a, h5d, h5g, h5l, h5o, h5t
finally:
    del os.environ["HDF5_PLUGIN_PRELOAD"]
    os.environ.update({name: value for name, value in _set.items() if value is not None})

# Python imports a codec at its first use; the child can no longer open the module then.
codecs.lookup("ascii")

_LONGEST_EMPTY = 1 << 31
_BFLOAT16 = np.dtype("V2")


def survey(data: bytes | memoryview, what: str, limits: Limits) -> dict[str, Any]:
    """Lists the groups, texts and arrays of an HDF5 file.

    Args:
        data: The bytes of the file.
        what: The name of the file in errors.
        limits: What the file may ask for.

    Raises:
        ModelFileError: The file is damaged, or it refers to other files.
        LimitError: The file asks for more than the limits allow.
        MemoryError: The file needs more memory than there is.
    """
    try:
        with h5py.File(_Reader(data), "r") as file:
            return _Survey(len(data), what, limits).of(h5g.open(file.id, b"/"))
    except InspectError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        # For damaged bytes h5py raises any of these, depending on where they are.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "alloc" in reason:
            raise MemoryError(reason) from error
        raise ModelFileError(f"{what}: damaged or truncated HDF5 data ({reason})") from error


class _Reader(io.RawIOBase):
    """The bytes as a file; unlike a BytesIO, it keeps no second copy in memory."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class _Survey:
    """One walk over a file; an object that is linked twice is refused."""

    def __init__(self, size: int, what: str, limits: Limits) -> None:
        self._size = size
        self._what = what
        self._limits = limits
        self._objects = 0
        self._text_bytes = 0

    def of(self, root: Any) -> dict[str, Any]:
        """Opens every object twice, because an object that stays open takes about 20 kB."""
        groups, datasets = [""], list[str]()
        stored = claimed = 0
        seen = {h5o.get_info(root).addr}
        todo = [""]
        while todo:
            above = todo.pop()
            group = h5o.open(root, above.encode() or b".")
            for raw in group:
                path = self._path(above, raw, group)
                info = h5o.get_info(group, raw)
                if info.addr in seen:
                    raise self._refusal(f"{path} is linked more than once")
                seen.add(info.addr)
                if info.type == h5o.TYPE_GROUP:
                    depth = path.count("/") + 1
                    self._limits.check("hdf5_depth", depth, self._what, so_far=True)
                    groups.append(path)
                    todo.append(path)
                elif info.type == h5o.TYPE_DATASET:
                    dataset = h5o.open(group, raw)
                    datasets.append(path)
                    stored += dataset.get_storage_size()
                    claimed += math.prod(dataset.shape or (0,)) * dataset.get_type().get_size()
        self._limits.check("hdf5_metadata_bytes", max(0, self._size - stored), self._what)
        found = {path: self._array(path, h5o.open(root, path.encode())) for path in datasets}
        return {
            "groups": {
                path: dict(self._texts(h5o.open(root, path.encode() or b"."))) for path in groups
            },
            "arrays": {path: each for path, each in found.items() if isinstance(each, dict)},
            "unread": {path: each for path, each in found.items() if isinstance(each, str)},
            "claimed": claimed,
        }

    def _path(self, above: str, raw: bytes, group: Any) -> str:
        self._count()
        try:
            path = f"{above}/{raw.decode()}".lstrip("/")
        except UnicodeDecodeError:
            raise self._refusal(f"expected names in UTF-8, received {raw[:40]!r}") from None
        if group.links.get_info(raw).type != h5l.TYPE_HARD:
            raise self._refusal(f"{path} is a soft or external link, which may lead elsewhere")
        return path

    def _texts(self, holder: Any) -> Iterator[tuple[str, str | list[str] | None]]:
        """Yields the attributes of an object: text, a list of texts, or None for anything else."""
        self._count(h5a.get_num_attrs(holder))
        names: list[bytes] = []
        h5a.iterate(holder, names.append)
        for name in names:
            attribute = h5a.open(holder, name)
            if attribute.get_type().get_class() != h5t.STRING or len(attribute.shape) > 1:
                yield self._text(name), None
                continue
            self._read(attribute.get_storage_size())
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            texts = [each or b"" for each in value.reshape(-1).tolist()]  # a null text is empty
            # Counted again: many texts may share the same stored bytes.
            self._read(sum(map(len, texts)))
            read = [self._text(each) for each in texts]
            yield self._text(name), read if value.ndim else read[0]

    def _array(self, path: str, dataset: Any) -> dict[str, Any] | str:
        """Returns where an array lies, or why it has no numbers."""
        creation = dataset.get_create_plist()
        layout = creation.get_layout()
        if layout == h5d.VIRTUAL:
            raise self._refusal(f"{path} is a virtual array; its numbers are stored elsewhere")
        if layout == h5d.CONTIGUOUS and creation.get_external_count():
            raise self._refusal(f"the numbers of {path} are stored in another file")
        dtype = _dtype(dataset.get_type())
        shape = dataset.shape
        if dtype is None or shape is None:
            return "does not hold floating-point or whole numbers"
        size = math.prod(shape) * dtype.itemsize
        found: dict[str, Any] = {"dtype": dtype.str, "shape": shape}
        # NumPy has no bfloat16. Keras stores the two bytes as they are, and only a .keras says that
        # they are bfloat16 (keras 3.15.1, saving_lib.py, `H5IOStore`).
        is_said = dtype == np.uint16 and ("dtype", "bfloat16") in self._texts(dataset)
        found |= {"is_bfloat16": dtype == _BFLOAT16 or is_said, "is_said_bfloat16": is_said}
        # HDF5 has no truth values; xarray stores them so too.
        found["is_said_bool"] = dtype == np.int8 and ("dtype", "bool") in self._texts(dataset)
        if not size:
            empty = max(shape, default=0) < _LONGEST_EMPTY
            return {**found, "hex": ""} if empty else "claims a very long axis but holds no numbers"
        if layout == h5d.CHUNKED:
            return {**found, **self._chunks(dataset, creation)}
        if dataset.get_storage_size() != size:
            return "was never written: the file holds no numbers for it"
        if layout == h5d.CONTIGUOUS:
            if dataset.get_offset() + size > self._size:
                raise self._refusal(f"{path} lies beyond the end of the file")
            return {**found, "offset": dataset.get_offset()}
        stored = np.empty(shape, dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, stored)
        return {**found, "hex": stored.tobytes().hex()}

    def _chunks(self, dataset: Any, creation: Any) -> dict[str, Any]:
        chunks: list[tuple[tuple[int, ...], int, int, int]] = []

        def note(info: Any) -> None:
            chunks.append((info.chunk_offset, info.byte_offset, info.size, info.filter_mask))

        self._count(dataset.get_num_chunks())
        dataset.chunk_iter(note)
        if any(offset + size > self._size for _, offset, size, _ in chunks):
            raise self._refusal("a chunk lies beyond the end of the file")
        filters = [creation.get_filter(each)[0] for each in range(creation.get_nfilters())]
        return {"chunk": creation.get_chunk(), "filters": filters, "chunks": chunks}

    def _count(self, more: int = 1) -> None:
        self._objects += more
        self._limits.check("hdf5_objects", self._objects, self._what, so_far=True)

    def _read(self, more: int) -> None:
        self._text_bytes += more
        self._limits.check("hdf5_metadata_bytes", self._text_bytes, self._what, so_far=True)

    def _text(self, value: bytes | str) -> str:
        try:
            return value if isinstance(value, str) else value.decode()
        except UnicodeDecodeError:
            raise self._refusal(f"expected text in UTF-8, received {value[:40]!r}") from None

    def _refusal(self, reason: str) -> ModelFileError:
        return ModelFileError(f"{self._what}: {reason}")


def _dtype(stored: Any) -> np.dtype[Any] | None:
    """Returns the NumPy dtype with the same bytes as a stored type; None if there is none."""
    if stored.get_class() not in (h5t.FLOAT, h5t.INTEGER, h5t.OPAQUE):
        return None
    dtype: np.dtype[Any] = np.dtype(stored.dtype)
    if dtype != _BFLOAT16 and (dtype.kind not in "fiu" or dtype.itemsize > 8):
        return None
    # h5py gives a number with unusual bits the next larger dtype, whose bytes differ.
    return dtype if h5t.py_create(dtype).equal(stored) or dtype == _BFLOAT16 else None
