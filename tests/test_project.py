"""What holds the repository together: order of imports, pins, versions, sizes."""

import ast
import importlib.util
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import medlab

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "medlab").rglob("*.py"))

# A module imports only what stands above it (docs: design, "The package").
ORDER = [
    *(
        "dicom",
        "nifti",
        "images",
        "wfdb",
        "manifests",
        "phantoms",
        "cohorts",
        "losses",
        "metrics",
        "gpu",
        "augment",
        "models",
    ),
    *("train", "infer", "zoo", "viewer", "plots", "check", "progress", "exercises"),
    *("hygiene", "solving", "course", "editions", "checkup", "cli", "__init__"),
]


def of_package(path):
    """The name under which a file stands in ORDER: a module, or the folder of one."""
    return path.relative_to(ROOT / "medlab").parts[0].removesuffix(".py")


def imported_by(path):
    """Names in ORDER that a file imports, anywhere in it; its own package left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "medlab":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medlab."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("medlab.")}
    return found - {of_package(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "medlab").as_posix())
def test_a_module_imports_only_what_stands_above_it(path):
    place = ORDER.index(of_package(path))
    assert imported_by(path) <= set(ORDER[:place])


def in_a_fresh_process(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_medlab_imports_nothing_heavy():
    heavy = "{'torch', 'SimpleITK', 'numpy', 'matplotlib', 'nilearn', 'IPython'}"
    assert in_a_fresh_process(f"import sys, medlab; print(sorted({heavy} & set(sys.modules)))") == "[]"


@pytest.mark.parametrize("name", ["cli", "manifests", "images", "cohorts", "course", "checkup", "viewer", "plots"])
def test_torch_is_not_imported_before_something_needs_it(name):
    assert in_a_fresh_process(f"import sys, medlab.{name}; print('torch' in sys.modules)") == "False"


def test_listing_data_imports_nothing_heavy():
    heavy = "{'torch', 'SimpleITK', 'numpy', 'matplotlib', 'nilearn', 'IPython'}"
    program = (
        f"import sys; from medlab.cli import main; main(['data', 'list']); print(sorted({heavy} & set(sys.modules)))"
    )
    assert in_a_fresh_process(program).splitlines()[-1] == "[]"


def test_every_name_that_medlab_offers_is_there():
    for name in medlab.__all__:
        assert getattr(medlab, name) is not None
    assert dir(medlab) == sorted(medlab.__all__)


def test_a_name_that_medlab_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'medlab' has no attribute 'segment'"):
        medlab.segment  # noqa: B018


def test_every_module_has_its_tests():
    """A package is tested under its own name or under that of one of its files."""
    names = {name: {name} for name in map(of_package, MODULES) if name != "__init__"}
    for path in MODULES:
        names.get(of_package(path), set()).add(path.stem)
    files = [path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name, stems in names.items() if not any(f.startswith(tuple(stems)) for f in files)] == []


# Pins and versions ----------------------------------------------------------------------------------------------------


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def plain(requirement):
    """The package of a requirement, as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement)[0]).lower()


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_everything_the_project_needs_is_pinned():
    wanted = [*project()["dependencies"], *itertools.chain(*project()["optional-dependencies"].values())]
    assert {plain(line) for line in wanted} - {plain(pin) for pin in pins()} == set()


def test_pins_are_exact_and_fit_every_build_of_torch():
    for pin in pins():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*( ; .+)?", pin)  # no "+cpu", no address
    assert "torch==2.13.0" in pins()


def test_conda_installs_what_pip_installs():
    environment = (ROOT / "environment.yml").read_text()
    assert "python=3.11" in environment
    assert project()["requires-python"] == ">=3.11"
    makefile = (ROOT / "Makefile").read_text()
    for option in ("-c constraints.txt", "-e ."):
        assert option in environment
    assert "install --quiet -c constraints.txt -e '.[dev]'" in makefile


def test_the_version_is_that_of_the_changelog_and_the_citation():
    newest = re.search(r"^## \[?v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == medlab.__version__
    assert f"version: {medlab.__version__}" in (ROOT / "CITATION.cff").read_text()


# What is in the repository --------------------------------------------------------------------------------------------


def kept_files():
    """Files that are or would be committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_is_large_and_none_holds_patients():
    for path in kept_files():
        assert path.stat().st_size <= (5_000_000 if path.name == "weights.safetensors" else 1_500_000), path
        assert not path.name.endswith((".nii", ".nii.gz", ".dcm", ".mha", ".nrrd", ".npz", ".pt", ".pth", ".pkl")), path


def test_no_file_knows_a_machine():
    machine = re.compile(r"(?<![\w.:/~])/(work|root)/\w")
    for path in kept_files():
        if path.suffix in {".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".txt", ".js", ".json", ".cfg", ""}:
            text = path.read_text(encoding="utf-8")
            assert not machine.search(text), path


def test_make_test_compares_every_notebook():
    command = ["make", "-n", "--no-print-directory", "notebooks-check"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    recipe = shown.stdout.splitlines()[-1]
    for option in ("--nbval ", "--nbval-current-env", "--nbval-sanitize-with tests/nbval_sanitize.cfg", " notebooks"):
        assert option in recipe
    assert importlib.util.find_spec("nbval")
