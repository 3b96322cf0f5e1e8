"""How much a file may ask for before anything is done on its word."""

from dataclasses import dataclass

from lstm_inspect.errors import LimitError
from lstm_inspect.notation import advice


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file may make this tool read, build or write; far above what Keras writes.

    An error names the limit that it is about; ``--limit NAME=VALUE`` sets one.

    Attributes:
        file_bytes: Size of a model file, of a shard, or of a member of a zip once inflated.
        zip_members: Members of a zip.
        zip_directory_bytes: Size of its directory.
        expansion: How many times their compressed size the members of a zip may have together,
            above 8 MiB.
        config_bytes: Size of a config.
        metadata_bytes: Size of a metadata.json.
        json_depth: How deep the values of a JSON text may nest.
        json_values: How many values it may have.
        graph_calls: Calls of layers, those in nested models counted each time they are called.
        hdf5_objects: Groups, arrays, attributes and chunks of an HDF5 file.
        hdf5_depth: How deep its groups may nest.
        hdf5_metadata_bytes: Size of what is no array, in the file and once read.
        weight_bytes: Size of all arrays of a model.
        parser_bytes: Memory that parsing an HDF5 file may take.
        parser_seconds: Processor time that it may take.
        input_bytes: Size of a file of input arrays.
        array_bytes: Size of any one array that a replay computes.
        dump_bytes: Size of all that a replay records.
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
    weight_bytes: int = 1 << 30
    parser_bytes: int = 96 << 20
    parser_seconds: int = 60
    input_bytes: int = 1 << 30
    array_bytes: int = 1 << 30
    dump_bytes: int = 2 << 30

    def check(self, name: str, value: int, what: str, *, so_far: bool = False) -> None:
        """Refuses what exceeds a limit.

        Args:
            name: Of the limit.
            value: What is asked for.
            what: What asks for it, as the error calls it.
            so_far: Whether it was counted up to here, and more may follow.

        Raises:
            LimitError: It exceeds the limit.
        """
        most: int = getattr(self, name)
        if value > most:
            message = f"{what}: {value} is more than the limit {name}={most}"
            raise LimitError(f"{message}; {self.advice(name, None if so_far else value)}")

    def advice(self, name: str, value: int | None = None) -> str:
        """How to raise a limit: to a value, or generously where the need is not known."""
        enough = value or max(2 * getattr(self, name), getattr(Limits, name))
        how = advice(
            python=f"limits=Limits({name}={enough})", command_line=f"--limit {name}={enough}"
        )
        return f"if you trust this file, raise it with {how}"


DEFAULT_LIMITS = Limits()
