"""Parses the YAML that Keras 1 and 2 wrote with ``model.to_yaml()``."""

from collections.abc import Mapping
from typing import Any

from lstm_inspect.errors import MissingExtraError, ModelFileError
from lstm_inspect.files.limits import Limits


def parse_yaml_object(text: str, what: str, limits: Limits) -> dict[str, Any]:
    """Parses a YAML mapping of plain values.

    A text may be YAML once more: some people saved ``yaml.dump(model.to_yaml())``.

    Args:
        text: The YAML text.
        what: What to call the text in an error.
        limits: How deep and how large it may be.

    Raises:
        ModelFileError: The text is not YAML, names a type that is not plain, refers to itself, or
            is not a mapping.
        LimitError: The text is deeper or larger than a limit allows.
        MissingExtraError: PyYAML is not installed.
    """
    limits.check("config_bytes", len(text), what)
    value = _loaded(text, what)
    if isinstance(value, str):
        value = _loaded(value, what)
    values, depth = _size(value, what, {}, set())
    limits.check("json_values", values, what)
    limits.check("json_depth", depth, what)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ModelFileError(f"{what}: expected a YAML mapping, received {type(value).__name__}")
    return value


def _loaded(text: str, what: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            f'{what}: a config in YAML needs PyYAML: pip install "lstm-inspect[yaml]"'
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
        """Builds plain values; a tuple of Python becomes a list."""

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", yaml.SafeLoader.construct_yaml_seq)
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{what}: not valid YAML ({' '.join(str(error).split())})") from error


def _size(
    value: Any, what: str, known: dict[int, tuple[int, int]], inside: set[int]
) -> tuple[int, int]:
    """How many values a value has in all, and how deep they nest.

    An alias makes one value stand in several places, so each value is counted once and added up.
    """
    if not isinstance(value, (list, Mapping)):
        if value is not None and type(value) not in (str, bool, int, float):
            raise ModelFileError(
                f"{what}: expected plain YAML, received a {type(value).__name__}: {value!r:.40}"
            )
        return 1, 0
    if id(value) in inside:
        raise ModelFileError(f"{what}: expected plain YAML, received a value that holds itself")
    if id(value) not in known:
        items = value.values() if isinstance(value, Mapping) else value
        sizes = [_size(item, what, known, inside | {id(value)}) for item in items]
        known[id(value)] = (
            1 + sum(size for size, _ in sizes),
            1 + max((depth for _, depth in sizes), default=0),
        )
    return known[id(value)]
