import importlib
import sys
import types
from pathlib import Path

import pytest

from sagemaker_inference import Registry, default_registry, serve
from sagemaker_inference._inference.program import _Loading, assembled, load, note_serve_call
from sagemaker_inference._program import roles
from sagemaker_inference._program.location import Program, find
from sagemaker_inference.errors import StartError

WHOLE = """
from sagemaker_inference import model_loader, predictor, serve

@model_loader
def load(model_dir):
    return model_dir

@predictor
def predict(data, model):
    return data

serve(__name__)
"""


SCRIPT = "def model_fn(model_dir): return 2\ndef predict_fn(data, model): return data\n"


def refusal(written):
    with pytest.raises(StartError) as caught:
        assembled(written)
    return str(caught.value)


def test_a_whole_program_is_assembled(program):
    handler = assembled(program(WHOLE))
    assert handler.model_loader.function.__name__ == "load"
    assert handler.predictor.function.__name__ == "predict"


def test_the_program_is_in_sys_modules_while_it_runs(program):
    source = "import sys\nassert sys.modules[__name__].__name__ == 'inference'\n"
    module, registry = load(program(source))
    assert sys.modules["inference"] is module
    assert registry is default_registry


def test_helpers_beside_the_program_are_imported(program):
    program("threshold = 0.5", "beside.py")
    module, _ = load(program("from beside import threshold"))
    assert module.threshold == 0.5
    load(program("from beside import threshold"))
    assert sys.path.count(module.__file__.removesuffix("/inference.py")) == 1


def test_a_syntax_error_is_named_with_file_line_and_text(program):
    written = program("x = 1\ndef predict(:\n")
    message = refusal(written)
    assert message.startswith(f"{written.path}, line 2: SyntaxError: ")
    assert "def predict(:" in message
    assert message.endswith("Fix this line.")


def test_a_syntax_error_without_text_is_named(program):
    assert "SyntaxError: no text" in refusal(program("raise SyntaxError('no text')"))


def test_a_file_with_null_bytes_is_named(program):
    # Pythons differ in the exception, and in whether it has a line.
    message = refusal(program("x = 1\0"))
    assert "inference.py" in message
    assert "null bytes" in message
    assert "None" not in message


def test_a_syntax_error_in_a_helper_names_the_helper(program):
    helper = program("def broken(:\n", "helper.py")
    assert refusal(program("import helper")).startswith(f"{helper.path}, line 1: ")


def test_a_missing_import_is_named_with_the_mend(program):
    written = program("\nimport there_is_no_such_module\n")
    message = refusal(written)
    assert message.startswith(f"{written.path}, line 2: ModuleNotFoundError: ")
    assert "'there_is_no_such_module'" in message
    assert message.endswith("Install the missing package.")


def test_a_second_program_of_a_process_stands_beside_the_first(program):
    first, second = program(SCRIPT, "a/inference.py"), program(WHOLE, "b/inference.py")
    loader = assembled(first).model_loader.function
    assert assembled(second).model_loader.function.__name__ == "load"
    # What is registered is the second's now: the first is read again.
    again = assembled(first).model_loader.function
    assert again.__name__ == loader.__name__
    assert again is not loader


def test_a_program_that_is_there_already_is_read_again_after_another(program):
    first, second = program(SCRIPT, "one.py"), program(WHOLE, "two.py")
    loader = assembled(first).model_loader.function
    assert assembled(first).model_loader.function is loader
    assembled(second)
    assert assembled(first).model_loader.function.__name__ == loader.__name__
    assert assembled(second).model_loader.function.__name__ == "load"


def test_many_models_are_not_told_to_bring_packages(program, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    message = refusal(program("import there_is_no_such_module"))
    assert message.endswith("Install the missing package in the image.")


def test_an_error_while_importing_is_named_and_keeps_its_traceback(program):
    written = program("def f():\n    1 / 0\nf()\n")
    with pytest.raises(StartError) as caught:
        load(written)
    assert str(caught.value) == f"{written.path}, line 2: ZeroDivisionError: division by zero"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "inference" not in sys.modules


def test_an_error_with_no_line_of_the_users_names_the_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = Program.from_file("gone.py")
    with pytest.raises(StartError, match=r"^gone\.py: FileNotFoundError"):
        load(missing)


def test_a_program_that_is_no_python_file_is_refused(program):
    assert "is not a Python file. Name one that ends in .py." in refusal(
        program("", "inference.txt")
    )


PREDICTOR = "from sagemaker_inference import *\n"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        (
            "@predictor\ndef predict(a, b, c, d): ...\n",
            2,
            "@predictor is on predict (",
        ),
        ("@decoder\ndef read(body): ...\n", 2, "@decoder needs content types"),
        (
            "@predictor\ndef one(a): ...\n@predictor\ndef two(a): ...\n",
            4,
            "one (",
        ),
        (
            "@predictor\ndef one(a): ...\n@transformer\ndef two(a, b): ...\n",
            4,
            "cannot be combined with the predictor one (",
        ),
        (
            "serve(__name__)\n@predictor\ndef late(data): ...\n",
            3,
            "@predictor on late (",
        ),
    ],
)
def test_a_refused_decorator_is_named_with_file_and_line(program, source, line, words):
    written = program(PREDICTOR + source)
    message = refusal(written)
    lines = {f"{written.path}, line {line}: ", f"{written.path}, line {line + 1}: "}
    assert any(message.startswith(start) for start in lines)
    assert words in message


def test_a_late_decorator_names_the_line_of_serve(program):
    written = program(PREDICTOR + "serve(__name__)\n@predictor\ndef late(data): ...\n")
    assert f"was registered after serve(__name__) at {written.path}, line 2." in refusal(written)


def test_a_program_without_a_model_loader_is_refused(program):
    written = program("from sagemaker_inference import predictor\n@predictor\ndef p(d): ...\n")
    message = refusal(written)
    assert message.startswith(f"{written.label} registers no model_loader.")
    assert "    @model_loader\n    def load(model_dir):\n" in message


def test_handlers_that_only_the_main_program_has_are_explained(program):
    source = "from sagemaker_inference import *\nif __name__ == '__main__':\n"
    written = program(source + "    @model_loader\n    def load(): ...\n")
    message = refusal(written)
    assert message.startswith(f"{written.label} registers nothing when workers import it")
    assert message.endswith('outside of if __name__ == "__main__".')


def test_a_script_that_trains_as_the_main_program_has_its_frameworks_handlers(program):
    written = program("if __name__ == '__main__':\n    train()\n")
    framework = Registry()
    framework.model_loader(lambda model_dir: 3)
    framework.predictor(lambda data, model: data)
    handler = assembled(written, lambda _registry: framework)
    assert handler.model_loader.function("/") == 3


def test_a_program_without_a_predictor_is_refused(program):
    source = "from sagemaker_inference import model_loader\n@model_loader\ndef load(d): ...\n"
    message = refusal(program(source))
    assert "registers no predictor" in message
    assert "    @predictor\n    def predict(data, model):\n" in message


@pytest.mark.parametrize(
    "source",
    [SCRIPT, SCRIPT + "from sagemaker_inference import serve\nserve(__name__)\n"],
    ids=["alone", "with serve"],
)
def test_script_functions_make_a_program(program, source):
    assert assembled(program(source)).predictor.function.__name__ == "predict_fn"


def test_a_script_function_that_clashes_is_refused(program):
    source = SCRIPT + PREDICTOR + "@predictor\ndef predict(data): ...\n"
    assert "conflicts with the script function" in refusal(program(source))


def test_a_registry_of_ones_own_is_served(program):
    source = WHOLE.replace("import model", "import Registry, model").replace(
        "@predictor", "app = Registry()\n@app.predictor"
    )
    source = source.replace("@model_loader", "").replace(
        "serve(__name__)", "app.model_loader(load)\nserve(__name__, registry=app)"
    )
    handler = assembled(program(source))
    assert handler.predictor.function.__name__ == "predict"
    assert default_registry.find(roles.PREDICTOR) == []


def test_serve_in_an_imported_module_does_nothing():
    with default_registry.isolated():
        serve("somebody_elses_module")
        assert default_registry._closed_by is None
        note_serve_call("somebody_elses_module", default_registry, "there")
        assert default_registry._closed_by is None


def test_a_program_imported_by_name_is_loaded(program):
    program(WHOLE, "a_package/inference.py")
    program("", "a_package/__init__.py")
    folder = Path(program("", "other.py").root)
    handler = assembled(Program("a_package.inference", str(folder)))
    assert handler.predictor.function.__module__ == "a_package.inference"


def test_a_label_is_the_file_relative_to_the_working_directory_or_the_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Program.from_file("code/inference.py").label == "code/inference.py"
    assert Program("package.inference", "/app").label == "package.inference"


@pytest.mark.parametrize(
    ("file", "name", "module"),
    [
        ("inference.py", "inference.py", "inference"),
        ("inference.py", "inference", "inference"),
        ("folder/serve.py", "folder/serve.py", "serve"),
        ("folder/serve.py", "folder/serve", "serve"),
        ("my.model.py", "my.model.py", "my.model"),
    ],
)
def test_a_program_is_found_by_file_name(tmp_path, file, name, module):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    found = Program.from_name(name, str(tmp_path))
    assert found == Program(module, str(path.parent), str(path))


def test_a_program_is_found_by_dotted_name(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "serve.py").touch()
    assert Program.from_name("package.serve", str(tmp_path)) == Program(
        "package.serve", str(tmp_path)
    )


def test_a_program_that_is_not_there_is_none(tmp_path):
    assert Program.from_name("inference.py", str(tmp_path)) is None


@pytest.mark.parametrize("variable", [None, "", "other.py"])
def test_the_variable_names_the_program_in_the_folder_code(tmp_path, monkeypatch, variable):
    if variable is not None:
        monkeypatch.setenv("SAGEMAKER_PROGRAM", variable)
    path = tmp_path / "code" / (variable or "inference.py")
    path.parent.mkdir()
    path.touch()
    assert find(str(tmp_path)).path == str(path)


def test_a_named_program_that_is_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "gone.py")
    with pytest.raises(StartError) as caught:
        find(str(tmp_path))
    assert f"SAGEMAKER_PROGRAM='gone.py' was not found in {tmp_path}/code" in str(caught.value)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def is_file(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", is_file)
    with pytest.raises(StartError, match=f"^{tmp_path}/code cannot be read: .* Give the server's"):
        find(str(tmp_path))


def main_is(monkeypatch, **attributes):
    module = types.ModuleType("__main__")
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, "__main__", module)


def test_the_program_that_runs_is_a_file(monkeypatch):
    main_is(monkeypatch, __file__=__file__)
    assert Program.from_main() == Program.from_file(__file__)


def test_the_program_that_runs_is_a_module(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    main_is(monkeypatch, __spec__=importlib.machinery.ModuleSpec("package.inference", None))
    assert Program.from_main() == Program("package.inference", str(tmp_path))
    main_is(monkeypatch, __spec__=importlib.machinery.ModuleSpec("package.__main__", None))
    assert Program.from_main().module == "package"


@pytest.mark.parametrize("attributes", [{}, {"__file__": "<stdin>"}])
def test_a_prompt_cannot_be_served(monkeypatch, attributes):
    main_is(monkeypatch, **attributes)
    with pytest.raises(StartError, match=r"Save it as inference\.py"):
        Program.from_main()


def test_no_import_is_under_way_afterwards(program):
    load(program(WHOLE))
    assert _Loading.module == ""


@pytest.mark.parametrize(
    ("name", "file"),
    [("folder/serve.py", "code/folder/serve.py"), ("package", "code/package/__init__.py")],
)
def test_helpers_in_the_code_folder_are_imported(program, tmp_path, monkeypatch, name, file):
    program("VALUE = 3\n", "code/beside.py")
    program(SCRIPT + "from beside import VALUE\n", file)
    monkeypatch.setenv("SAGEMAKER_PROGRAM", name)
    assert assembled(find(str(tmp_path))).predictor.function.__globals__["VALUE"] == 3


def test_a_program_that_is_on_the_path_is_found(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "serve.py").touch()
    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "elsewhere")])
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "serve")
    assert find(str(tmp_path)).path == str(tmp_path / "elsewhere" / "serve.py")


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["python", "-X", "utf8", "inference.py", "-m", "3"], ["inference.py", "-m", "3"]),
        (["python", "-m", "package.inference", "--x"], ["FILE", "--x"]),
        (["python", "-c", "..."], ["changed"]),
    ],
)
def test_a_programs_command_line_is_that_of_the_start(monkeypatch, tmp_path, words, arguments):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "inference.py"
    file.touch()
    main_is(monkeypatch, __file__=str(file), __spec__=None)
    monkeypatch.setattr(sys, "argv", ["changed"])
    monkeypatch.setattr(sys, "orig_argv", words)
    expected = [str(file) if word == "FILE" else word for word in arguments]
    assert Program.from_main().arguments == expected


def test_a_program_that_multiprocessing_spawns_is_found_by_its_own_name(monkeypatch):
    spawned = types.ModuleType("__mp_main__")
    spawned.__file__ = "/app/spawned_program.py"
    monkeypatch.setitem(sys.modules, "__mp_main__", spawned)
    note_serve_call("__mp_main__", default_registry, "there")
    assert sys.modules.pop("spawned_program") is spawned
    assert default_registry._closed_by is None


def test_a_program_that_is_imported_already_stands_for_main(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    written = program(WHOLE)
    module, _ = load(written)
    assert sys.modules["__main__"] is not module
    assert load(written, as_main=True)[0] is module
    assert sys.modules["__main__"] is module


def test_a_program_that_somebody_has_imported_beside_another_has_its_own_handlers(
    program, monkeypatch
):
    other = program("import sagemaker_inference as si\n@si.predictor\ndef predict(data): ...\n")
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location(other.module, other.path)
    )
    monkeypatch.setitem(sys.modules, other.module, module)
    default_registry.model_loader(lambda: None)
    module.__spec__.loader.exec_module(module)
    default_registry.close("serve(__name__) elsewhere")
    assert load(other)[0] is module
    registry = load(other)[1]
    assert registry is not default_registry
    assert [item.handler.function for item in registry.find(roles.PREDICTOR)] == [module.predict]
    assert registry.find(roles.MODEL_LOADER) == []


def test_a_program_stands_for_main_without_multiprocessing(program, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.delitem(sys.modules, "__mp_main__", raising=False)
    module, _ = load(program(WHOLE), as_main=True)
    assert sys.modules["__main__"] is module
    assert "__mp_main__" not in sys.modules
