"""Docstrings of the public API, which is what the reference lists, pass the validation of numpydoc."""

import inspect
import re
from pathlib import Path

import pytest

numpydoc = pytest.importorskip("numpydoc.validate")

REFERENCE = Path(__file__).resolve().parents[1] / ".docs" / "api.rst"
MODULES = re.findall(r"^\.\. py:module:: (\S+)$", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)
INSTANCES = {"neg_expected_calibration_error_scorer", "neg_multilabel_log_loss_scorer"}  # the reference describes them
OF_SCIKIT_LEARN = r"set_\w+_request"  # written by scikit-learn
IGNORED = {
    "ES01",  # one sentence can say everything
    "RT02",  # a returned value has a name, as in scikit-learn
}
IGNORED_OF_METHODS = {
    "EX01",  # the example of the class uses its methods
    "SA01",  # the class names its relatives
}


def public_objects(module):
    """Return the public classes and functions of a module by their dotted names."""
    public = pytest.importorskip(module)
    names = [name for name in public.__all__ if name not in INSTANCES]
    return {f"{module}.{name}": getattr(public, name) for name in names if callable(getattr(public, name))}


def is_ours(cls):
    """Return whether a class is of this package."""
    return cls.__module__.split(".")[0] == "sk_quadrant"


def parameters(cls, name):
    """Return the names of the parameters of a method, none for a property."""
    member = getattr(cls, name)
    return list(inspect.signature(member).parameters) if callable(member) else []


def documented_methods(cls):
    """Return the dotted names of public methods and properties, each in the class from which its docstring comes.

    A method without a docstring inherits that of the method which it overrides, so both must take the same parameters.
    """
    found = []
    for name in dir(cls):
        owners = [base for base in cls.__mro__ if name in vars(base)]
        if name.startswith("_") or not owners or not is_ours(owners[0]) or re.fullmatch(OF_SCIKIT_LEARN, name):
            continue
        if not callable(getattr(cls, name)) and not isinstance(vars(owners[0])[name], property):
            continue
        owner = next((base for base in owners if getattr(base, name).__doc__), owners[0])
        assert parameters(cls, name) == parameters(owner, name), f"{cls.__name__}.{name} has parameters of its own"
        found += [f"{owner.__module__}.{owner.__name__}.{name}"] if is_ours(owner) else []
    return found


def errors_of(name, ignored):
    """Return what numpydoc finds wrong, and sections that it does not ask for."""
    errors = [f"{name}: {code} {text}" for code, text in numpydoc.validate(name)["errors"] if code not in ignored]
    checked = numpydoc.Validator(numpydoc.get_doc_object(numpydoc.Validator._load_obj(name)))
    parts = {part: description for part, (_, description) in checked.doc_all_parameters.items()}
    parts |= {part.name or part.type: part.desc for part in checked.returns}
    errors += [f"{name}: {part} has no description" for part, description in parts.items() if not "".join(description)]
    if not inspect.isclass(checked.obj) and "raise " in checked.method_source and not checked.doc["Raises"]:
        errors.append(f"{name}: no Raises section found")
    return errors


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_are_valid(module):
    """Classes, functions, methods and properties say what they take, return and raise, in the form of numpydoc."""
    objects = public_objects(module)
    methods = {name for value in objects.values() if inspect.isclass(value) for name in documented_methods(value)}

    errors = [error for name in objects for error in errors_of(name, IGNORED)]
    errors += [error for name in sorted(methods) for error in errors_of(name, IGNORED | IGNORED_OF_METHODS)]

    assert not errors, "\n".join(errors)
