"""Names the kinds of files that people pass in place of a model, and says what to do instead."""

import re

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_SAVE_AGAIN = 'load it where it was made, and save it with model.save("model.keras")'

_STARTS = {
    b"version https://git-lfs": "it is a Git LFS pointer; run: git lfs pull",
    b"\x93NUMPY": "it is an array (.npy); pass the model, and the array with --input",
    b"%PDF": "it is a PDF",
}
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_ONNX = re.compile(rb"\x08[\x01-\x20]\x12[\x01-\x40][\w .-]+", re.DOTALL)


def what_it_is(data: bytes) -> str | None:
    """Says what a file is that no source reads, and what to do; None if that is not known.

    Args:
        data: The bytes of the file.
    """
    if not data:
        return "it is empty; copy or download it again"
    for start, what in _STARTS.items():
        if data.startswith(start):
            return what
    if _WEB_PAGE.match(data):
        return "it is a web page; download the file itself (on GitHub: Raw)"
    if data.startswith(_ZIP):
        return _of_zip(data)
    if data[4:8] == b"TFL3":
        return f"it is a model of TensorFlow Lite, which has no layers any more; {_SAVE_AGAIN}"
    if data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data):
        return "it is a file of safetensors, which is not read"
    if data[:1] == _PICKLE and data[1:2] in b"\x02\x03\x04\x05":
        return f"it is a pickle or an old model of PyTorch, which could run code; {_SAVE_AGAIN}"
    if _ONNX.match(data):
        return f"it is a model of ONNX, which is not read; {_SAVE_AGAIN}"
    return None


def _of_zip(data: bytes) -> str | None:
    if b"data.pkl" in data[:300]:
        return "it is a model of PyTorch, which is not read"
    if b"__meta__.npy" in data[-(1 << 16) :]:
        return "it is a dump that lstm-inspect wrote; pass the model"
    return None
