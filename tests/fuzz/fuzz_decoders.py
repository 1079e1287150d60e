"""Coverage-guided fuzzing of decoders: ``python tests/fuzz/fuzz_decoders.py [FORMATS] [OPTIONS]``.

Needs ``atheris``. The formats are content types, all by default; with ``gzip`` among them, bodies
have that content coding. The options are libFuzzer's, such as ``-max_total_time=600``. The first
byte of an input chooses the format, the second the parameters of its content type; the rest is the
body. Any exception but a refusal with status 400, 413 or 415 is a finding, and so is a message of
over 300 characters, memory over libFuzzer's limit, more than the budget of a request allows, or a
body that takes over ten seconds.
"""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sagemaker_inference"]):
    from sagemaker_inference import _budget, codecs, decoder
    from sagemaker_inference._http import content_coding
    from sagemaker_inference.errors import InferenceError

    # A format's module is imported when it is first found: here, so that it is instrumented.
    FORMATS = [name for name in codecs.decodable() if codecs.for_content_type(name) is not None]
    FORMATS.append("application/x-www-form-urlencoded")

import numpy as np

MIB = 1 << 20
CHOSEN = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
IS_PACKED = "gzip" in CHOSEN
FORMATS = [name for name in FORMATS if name in CHOSEN] or FORMATS

PARAMETERS = (
    "",
    "; charset=utf-8",
    "; charset=latin-1",
    "; charset=utf-16",
    "; charset=utf-32; header=present",
    "; header=absent",
    "; features=9",
    "; boundary=X",
)


def seeds() -> dict[str, list[bytes]]:
    """A few good bodies of each format."""
    matrix = np.array([[1.5, -2.0], [3.25e-7, 4e300]])
    found: dict[str, list[bytes]] = {}
    for name in codecs.encodable():
        codec = codecs.for_content_type(name)
        assert codec is not None
        assert codec.encode is not None
        bodies = []
        for prediction in (matrix, np.array([1, 2, 3]), "text", {"a": [1, None]}, ["a,b", 'c"']):
            try:
                bodies.append(bytes(codec.encode(prediction, name)))
            except InferenceError:
                continue
        found[name] = bodies
    found["application/json"] += [b'{"instances": [[1, 2], [3, 4]]}', b"[NaN, 1e400, null, true]"]
    found["text/csv"] += [b'a,b\n1,2\n"x, ""y""",\r\n', b"+1,.5,-0,nan,,inf,1_0\n"]
    found["application/jsonlines"] += [b"[1,2]\n[3,4]\n", b"1\n2\n", b'{"a": 1}\n\n{"b": 2}\n']
    found["text/libsvm"] += [b"1 0:1.5 qid:3 7:2 # c\n0:1\n"]
    found["multipart/form-data"] = [
        (
            b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
            b'--X\r\nContent-Disposition: form-data; name="c"; filename="f"\r\n'
            b"Content-Type: text/csv\r\n\r\n1,2\r\n--X--\r\n"
        ),
    ]
    found["application/x-www-form-urlencoded"] = [b"a=1&b=%41"]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=matrix)
    found["application/x-npz"].append(buffer.getvalue())
    try:
        import scipy.sparse
        from PIL import Image
    except ImportError:
        return found
    for kind in ("csr", "coo", "dia", "bsr"):
        for name in ("application/x-npz", "application/x-recordio-protobuf"):
            codec = codecs.for_content_type(name)
            assert codec is not None
            assert codec.encode is not None
            sparse = scipy.sparse.csr_matrix(matrix).asformat(kind)
            found[name].append(bytes(codec.encode(sparse, name)))
    found["application/x-image"] = []
    for extension in ("PNG", "JPEG", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 4), (9, 200, 77)).save(buffer, extension)
        found["application/x-image"].append(buffer.getvalue())
    return found


def one_input(data: bytes) -> None:
    """Decode one body; let through what should not come out."""
    if len(data) < 2:
        return
    name = FORMATS[data[0] % len(FORMATS)]
    content_type = name + PARAMETERS[data[1] % len(PARAMETERS)]
    body = data[2:]
    codec = codecs.for_content_type(content_type)
    assert codec is not None
    assert codec.decode is not None
    for form in (bytes, bytearray, memoryview):
        budget = _budget.begin(len(body))
        try:
            unpacked = content_coding.unpack(form(body), "gzip") if IS_PACKED else form(body)
            # The parts of a form count all that they take, be it little.
            budget.is_divided = budget.is_divided or IS_PACKED
            codec.decode(unpacked, content_type)
        except InferenceError as error:
            check(error)
        finally:
            _budget.end()
        if budget.unpacked > 64 * MIB or budget.taken > 224 * MIB or budget.steps > 2_000_000:
            raise AssertionError(budget.unpacked, budget.taken, budget.steps)
    if name in decoder._decoder_map:
        try:
            decoder.decode(body, content_type)
        except InferenceError as error:
            check(error)


def check(error: InferenceError) -> None:
    """Only refusals, in few words."""
    if error.status_code not in (400, 413, 415) or len(error.message) > 300:
        raise AssertionError(error.status_code, error.message) from error


def main() -> None:
    """Write the seeds and let libFuzzer work."""
    with tempfile.TemporaryDirectory() as corpus:
        for index, name in enumerate(FORMATS):
            for number, body in enumerate(seeds().get(name, [])):
                sent = gzip.compress(body) if IS_PACKED else body
                for parameter in (0, PARAMETERS.index("; boundary=X")):
                    start = bytes((index, parameter))
                    Path(corpus, f"{index}-{number}-{parameter}").write_bytes(start + sent)
        options = [option for option in sys.argv if option not in CHOSEN]
        atheris.Setup([*options, "-timeout=10", "-rss_limit_mb=1024", corpus], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
