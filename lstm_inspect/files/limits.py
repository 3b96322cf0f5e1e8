"""Limits on what a file may ask for, checked before the tool acts on what the file claims."""

from dataclasses import dataclass

from lstm_inspect.errors import LimitError
from lstm_inspect.notation import advice


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what a file may make this tool read, build or write.

    The defaults are far above what Keras writes. An error names the limit that was exceeded;
    ``--limit NAME=VALUE`` raises it.

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
        checkpoint_objects: Variables, objects or shards of a TensorFlow checkpoint.
        weight_bytes: Size of all arrays of a model.
        parser_bytes: Memory for parsing an HDF5 file.
        parser_seconds: Time for parsing an HDF5 file of up to 20 MiB; a larger one gets more, in
            proportion.
        keras_bytes: Memory for Keras, beyond what it takes at its start.
        keras_seconds: Time for Keras to compute one layer, or the whole model.
        input_bytes: Size of a file of input arrays.
        replay_bytes: Size of all arrays that a replay holds at one time.
        replay_steps: Number of timesteps of all recurrent layers that are replayed.
        dump_bytes: Size of a dump that is read into memory.
    """

    file_bytes: int = 2 << 30
    zip_members: int = 4096
    zip_directory_bytes: int = 1 << 20
    expansion: int = 100
    config_bytes: int = 16 << 20
    metadata_bytes: int = 1 << 20
    json_depth: int = 128
    json_values: int = 200_000
    graph_calls: int = 20_000
    hdf5_objects: int = 20_000
    hdf5_depth: int = 32
    hdf5_metadata_bytes: int = 64 << 20
    checkpoint_objects: int = 100_000
    weight_bytes: int = 1 << 30
    parser_bytes: int = 96 << 20
    parser_seconds: int = 5
    keras_bytes: int = 4 << 30
    keras_seconds: int = 600
    input_bytes: int = 1 << 30
    replay_bytes: int = 2 << 30
    replay_steps: int = 2_000_000
    dump_bytes: int = 2 << 30

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
        how = advice(
            python=f"limits=Limits({name}={enough})", command_line=f"--limit {name}={enough}"
        )
        return f"if you trust this file, raise it with {how}"


DEFAULT_LIMITS = Limits()
