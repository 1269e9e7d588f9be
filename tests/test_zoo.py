"""Names, recipes, cards and weights of the zoo; every shipped model's file is what its card says."""

import hashlib
import json
import subprocess
import sys
import tomllib

import pytest
import torch
from safetensors import safe_open

import medlab
from medlab import cohorts, zoo
from medlab.models.unet import UNet, parameter_count
from medlab.zoo import cards, networks, weights
from medlab.zoo.recipe import TRAINED, read, recipe

NAMES = zoo.names()


def test_the_zoo_has_the_models_that_it_promises():
    networks_of = {"unet2d": ["brain", "chase", "hippocampus", "nuclei"], "unet3d": ["brain", "hippocampus"]}
    networks_of |= {"cnn": ["breast", "pneumonia"], "lstm": ["ecg"]}
    assert sorted(f"{kind}-{target}" for kind, targets in networks_of.items() for target in targets) == NAMES


def test_listing_and_showing_do_not_import_torch():
    program = (
        "import sys; from medlab.cli import main; main(['zoo', 'list']); main(['zoo', 'show', 'unet2d-brain']);"
        "print(sorted({'torch', 'SimpleITK', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Recipes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_fits_its_cohort_and_its_network(name):
    wanted = recipe(name)
    assert wanted.name == name
    assert wanted.data["cohort"] in cohorts.names()
    assert set(wanted.data["train"]) <= {"train", "validation"}  # never the test patients
    model = zoo.create(name)
    assert model.classes == len(wanted.label_names)
    if wanted.task == "segmentation":
        slices = 2 * wanted.sampling.get("context", 0) + 1
        assert model.in_channels == wanted.data.get("channels", 1) * slices
        assert model.dims == wanted.sampling["dims"]
        assert wanted.sampling["multiple"] % model.multiple == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_people_must_know(name):
    about = recipe(name).about
    assert {"trained_on", "licence", "licence_note", "split_note", "input", "known_failures"} == set(about)
    assert about["known_failures"]
    assert all(len(sentence) > 40 for sentence in about["known_failures"])


def test_the_licence_of_shared_alike_data_is_passed_on_to_the_weights():
    for name in ("unet2d-hippocampus", "unet3d-hippocampus"):
        about = recipe(name).about
        assert about["licence"] == "CC-BY-SA-4.0"
        assert "under the same licence" in about["licence_note"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed = 0\n", "missing field 'seed'"),
        ('title = "t"\n', "missing field 'title'"),
        (None, "unknown field 'sede'"),
    ],
)
def test_a_broken_recipe_is_refused_by_name(tmp_path, change, message):
    text = 'name = "n"\ntitle = "t"\ntask = "segmentation"\nseed = 0\n'
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(change, "") if change else text + "sede = 1\n")
    with pytest.raises(ValueError, match=message):
        read(path)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ValueError, match=r"no model is named 'unet-brain'; nearest: unet.d-brain"):
        zoo.load("unet-brain")
    with pytest.raises(ValueError, match=r"no model is named '\.\./x'"):
        zoo.create("../x")


# Networks -------------------------------------------------------------------------------------------------------------


def test_create_makes_the_network_of_the_recipe_with_new_weights():
    medlab.seed(1)
    first = zoo.create("unet2d-brain")
    medlab.seed(1)
    again, other = zoo.create("unet2d-brain"), zoo.create("unet2d-brain")
    assert isinstance(first, UNet)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_create_takes_other_arguments():
    model = zoo.create("unet2d-brain", classes=2, widths=[4, 8])
    assert (model.classes, model.widths, model.in_channels) == (2, (4, 8), 5)


def test_create_refuses_what_the_network_does_not_have():
    with pytest.raises(ValueError, match=r"UNet can't be made with .*'width': 3.* unexpected keyword argument 'width'"):
        zoo.create("unet2d-brain", width=3)
    with pytest.raises(ValueError, match="classes at least 2"):
        zoo.create("unet2d-brain", classes=1)


def test_the_same_weights_make_the_same_file(tmp_path):
    weights.write(weights.pack(zoo.create("lstm-ecg"), "lstm-ecg"), tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        assert file.metadata() == {"name": "lstm-ecg"}  # of several entries the order is drawn anew in every process


# Shipped weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_those_of_the_card(name):
    card = cards.read(name)
    content = card.weights_path.read_bytes()
    stated = card.measured["weights"]
    assert hashlib.sha256(content).hexdigest() == stated["sha256"]
    assert len(content) == stated["bytes"]
    with safe_open(card.weights_path, "pt") as file:
        assert file.metadata()["name"] == name
    model = zoo.create(name)
    weights.fill(model, weights.read(card.weights_path, name, stated), card.weights_path)
    assert parameter_count(model) == stated["parameters"]


def test_all_weights_together_are_small_and_none_is_a_pickle():
    files = [path for path in TRAINED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25e6
    assert {path.name for path in files} == {"recipe.toml", "card.json", "weights.safetensors"}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_card_is_complete(name):
    card = cards.read(name)
    test, split = card.measured["test"], card.measured["split"]
    assert split["test"]["patients"] > 0
    assert len(test["cases"]) == split["test"]["cases"]
    assert test["headline"] in test["scores"]
    for entry in test["scores"].values():
        assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
    text = str(card)
    for part in ("Not for clinical use", card.recipe.about["licence"], "Known failures", "Held-out test patients"):
        assert part in text
    assert card.measured["weights"]["sha256"] in text
    assert max(map(len, text.splitlines())) <= 100


# Weights that are not what they should be -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A tiny trained model, as `medlab zoo train` leaves one."""
    text = (TRAINED / "unet2d-brain" / "recipe.toml").read_text()
    (tmp_path / "recipe.toml").write_text(text.replace("widths = [16, 32, 64, 128]", "widths = [4, 8]"))
    model = networks.build(read(tmp_path / "recipe.toml").model)
    stored = weights.write(weights.pack(model, "unet2d-brain"), tmp_path / "weights.safetensors")
    (tmp_path / "card.json").write_text(json.dumps({"weights": stored}))
    return tmp_path


def test_weights_of_ones_own_training_are_loaded_from_their_folder(folder, capsys):
    assert zoo.load("unet2d-brain", "cpu", folder=folder).model.widths == (4, 8)
    assert "Device: CPU" in capsys.readouterr().out


def test_a_cut_file_is_refused(folder):
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    wanted = (
        rf"weights.safetensors: the file is cut short or changed: expected {len(content):,} bytes, got .*SHA-256 exp"
    )
    with pytest.raises(ValueError, match=wanted) as caught:
        zoo.load("unet2d-brain", "cpu", folder=folder)
    assert "medlab zoo train unet2d-brain" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_file_that_is_none_is_refused(folder, content):
    (folder / "weights.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="cut short or changed"):
        zoo.load("unet2d-brain", "cpu", folder=folder)


def test_one_changed_bit_is_refused(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"the file was changed \(SHA-256 expected [0-9a-f]{64}, got [0-9a-f]{64}\)"):
        zoo.load("unet2d-brain", "cpu", folder=folder)


def test_weights_of_another_model_are_refused_by_name(folder):
    weights.write(weights.pack(zoo.create("cnn-breast"), "cnn-breast"), folder / "weights.safetensors")
    with pytest.raises(ValueError, match="these are the weights of cnn-breast, not of unet2d-brain"):
        zoo.load("unet2d-brain", "cpu", folder=folder)


def test_weights_of_another_network_are_refused_even_with_the_right_hash(folder):
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace("widths = [4, 8]", "widths = [4, 8, 8]"))
    with pytest.raises(ValueError, match=r"these weights belong to another network: .*Missing key"):
        zoo.load("unet2d-brain", "cpu", folder=folder)


def test_a_folder_of_another_model_or_of_none_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="holds a model named unet2d-brain, not unet2d-chase"):
        zoo.load("unet2d-chase", "cpu", folder=folder)
    with pytest.raises(FileNotFoundError, match=r"recipe\.toml: there is no recipe, so no model was trained here"):
        zoo.load("unet2d-brain", "cpu", folder=tmp_path / "nowhere")


def test_missing_weights_and_cards_say_what_to_do(folder, tmp_path):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="the weights of unet2d-brain are not there; install medlab again, or"):
        zoo.load("unet2d-brain", "cpu", folder=folder)
    (folder / "card.json").write_text("{")
    with pytest.raises(ValueError, match="not a card"):
        zoo.load("unet2d-brain", "cpu", folder=folder)
    (folder / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match="`medlab zoo train unet2d-brain` does it"):
        zoo.load("unet2d-brain", "cpu", folder=folder)


def test_the_stored_weights_are_half_precision_but_for_what_is_small(folder):
    with safe_open(folder / "weights.safetensors", "pt") as file:
        kinds = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    assert all((tensor.dtype == torch.float16) == (tensor.ndim >= 2) for tensor in kinds.values())


def test_a_wheel_takes_the_weights_along():
    project = tomllib.loads((TRAINED.parents[2] / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["medlab"]
    command = ["git", "-C", str(TRAINED), "check-ignore", "unet2d-brain/weights.safetensors"]
    assert subprocess.run(command, capture_output=True).returncode == 1  # not ignored: hatch leaves ignored files out
