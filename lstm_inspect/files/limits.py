"""Limits on what a file may ask for, checked before the tool acts on what the file claims."""

import re
from dataclasses import dataclass, field, fields

from lstm_inspect.errors import LimitError
from lstm_inspect.notation import advice

_BINARY = {10: "KiB", 20: "MiB", 30: "GiB", 40: "TiB"}
_UNITS = {
    "bytes": {
        **{unit: 1 << shift for shift, unit in _BINARY.items()},
        **{"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    },
    "seconds": {"s": 1, "min": 60, "h": 3600},
}
"""The units in which a limit may be given, by the last word of its name."""

_FORMS = {
    "bytes": "a size such as 4GiB, 4GB, 500MB or 4000000000",
    "seconds": "a time such as 60s, 10min or 60",
}
_AMOUNT = re.compile(r"([0-9]{1,18}) ?([A-Za-z]*)")


def _limit(default: int, whose: str) -> int:
    """A limit, and whose file or data may well exceed it, as an error says it."""
    limit: int = field(default=default, metadata={"whose": whose})
    return limit


def _of_file(default: int) -> int:
    """A limit against files of strangers."""
    return _limit(default, "if you trust this file,")


_OWN_BATCH = "if this is a large batch of your own, trace it in parts, or"
_OWN_SEQUENCES = "if these are long sequences of your own,"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what a file may make this tool read, build or write.

    The defaults are far above what Keras writes. An error names the limit that was exceeded;
    ``--limit file_bytes=4GiB`` raises it.

    Attributes:
        file_bytes: Size of a model file, of a shard, or of a member of a zip after inflation.
        zip_members: Number of members of a zip.
        zip_directory_bytes: Size of the directory of a zip.
        expansion: How many times larger the deflated members of a zip may become together by
            inflation; checked above 8 MiB.
        config_bytes: Size of a config.
        metadata_bytes: Size of a metadata.json.
        json_depth: How deep the values of a JSON text may nest.
        json_values: Number of values in a JSON text.
        graph_calls: Number of layer calls; those in a nested model count each time it is called.
        hdf5_objects: Number of groups, arrays and attributes of an HDF5 file.
        hdf5_depth: How deep the groups of an HDF5 file may nest.
        hdf5_metadata_bytes: Size of an HDF5 file without its arrays, both stored and once read.
        zarr_files: Number of files and folders of a Zarr dump.
        checkpoint_objects: Variables, objects or shards of a TensorFlow checkpoint.
        weight_bytes: Size of all arrays of a model.
        parser_bytes: Memory for parsing an HDF5 file.
        parser_seconds: Time for parsing an HDF5 file of up to 20 MiB; a larger one gets more, in
            proportion.
        keras_bytes: Memory for Keras, beyond what it takes at its start.
        keras_seconds: Time for Keras to compute one layer, or the whole model.
        input_bytes: Size of the input arrays that are read into memory. Large files are mapped.
        replay_bytes: Size of all arrays that a replay holds at one time.
        replay_steps: Number of timesteps of all recurrent layers in a block of a replay.
        dump_bytes: Size of a dump that is read into memory.
    """

    file_bytes: int = _of_file(2 << 30)
    zip_members: int = _of_file(4096)
    zip_directory_bytes: int = _of_file(1 << 20)
    expansion: int = _of_file(100)
    config_bytes: int = _of_file(16 << 20)
    metadata_bytes: int = _of_file(1 << 20)
    json_depth: int = _of_file(128)
    json_values: int = _of_file(200_000)
    graph_calls: int = _of_file(20_000)
    hdf5_objects: int = _of_file(20_000)
    hdf5_depth: int = _of_file(32)
    hdf5_metadata_bytes: int = _of_file(64 << 20)
    zarr_files: int = _of_file(100_000)
    checkpoint_objects: int = _of_file(100_000)
    weight_bytes: int = _of_file(1 << 30)
    parser_bytes: int = _of_file(96 << 20)
    parser_seconds: int = _of_file(5)
    keras_bytes: int = _of_file(4 << 30)
    keras_seconds: int = _of_file(600)
    input_bytes: int = _limit(1 << 30, _OWN_BATCH)
    replay_bytes: int = _limit(2 << 30, _OWN_BATCH)
    replay_steps: int = _limit(2_000_000, _OWN_SEQUENCES)
    dump_bytes: int = _of_file(2 << 30)

    def __repr__(self) -> str:
        """The limits that are not the defaults: ``Limits(file_bytes=10)``."""
        chosen = {
            name: value for name, value in vars(self).items() if value != getattr(Limits, name)
        }
        return f"Limits({', '.join(f'{name}={value}' for name, value in chosen.items())})"

    def check(self, name: str, value: int, what: str, *, so_far: bool = False) -> None:
        """Refuses a value that exceeds a limit.

        Args:
            name: The name of the limit.
            value: How much is asked for.
            what: The name, in the error, of the file or part that asks for it.
            so_far: Whether the value is a running count that may still grow.

        Raises:
            LimitError: The value exceeds the limit.
        """
        most: int = getattr(self, name)
        if value > most:
            message = f"{what}: {value} is more than the limit {name}={most}"
            raise LimitError(f"{message}; {self.advice(name, value, is_enough=not so_far)}")

    def advice(self, name: str, value: int = 0, *, is_enough: bool = False) -> str:
        """Tells how to raise a limit: to a value, or generously if that may not be enough."""
        generous = max(value, 2 * getattr(self, name), getattr(Limits, name))
        enough = value if is_enough else generous
        shifts = sorted(_BINARY, reverse=True) if name.endswith("_bytes") else ()
        shift = next((each for each in shifts if enough >> each), 0)
        size = -(-enough >> shift)  # rounded up
        how = advice(
            python=f"limits=Limits({name}={size}{f' << {shift}' if shift else ''})",
            command_line=f"--limit {name}={size}{_BINARY.get(shift, '')}",
        )
        (whose,) = (each.metadata["whose"] for each in fields(self) if each.name == name)
        return f"{whose} raise it with {how}"


def read_amount(name: str, text: str) -> int:
    """Reads the value of a limit.

    Args:
        name: The limit. ``_bytes`` at its end allows units of size, ``_seconds`` those of time.
        text: For example ``4GiB``, ``4GB``, ``60s`` or ``100``.

    Raises:
        ValueError: The text has another form. The message is what was expected.
    """
    kind = name.rpartition("_")[2]
    units = {unit.lower(): size for unit, size in _UNITS.get(kind, {}).items()} | {"": 1}
    found = _AMOUNT.fullmatch(text)
    if not found or found[2].lower() not in units:
        raise ValueError(_FORMS.get(kind, "a whole number"))
    return int(found[1]) * units[found[2].lower()]


DEFAULT_LIMITS = Limits()
