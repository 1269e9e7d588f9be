"""What the relatives of the U-Net add to it: gates, a second task, a memory across slices."""

import pytest
import torch
from torch import nn

from medlab.models.attention_unet import AttentionGate, AttentionUNet
from medlab.models.multi_task import MultiTaskUNet
from medlab.models.recurrent import LSTMCell, unroll
from medlab.models.recurrent_unet import ConvLSTM, Memory, RecurrentUNet
from medlab.models.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


def filled(parameter, value):
    with torch.no_grad():
        parameter.fill_(value)


# Attention -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "size"), [(2, (8, 20)), (3, (4, 8, 12))])
def test_open_gates_leave_the_plain_unet(dims, size):
    torch.manual_seed(0)
    gated = AttentionUNet(2, 3, (4, 6, 8), dims=dims)
    plain = UNet(2, 3, (4, 6, 8), dims=dims)
    plain.load_state_dict({k: v for k, v in gated.state_dict().items() if not k.startswith("gates")})
    for gate in gated.gates:
        filled(gate.weigh.weight, 0)
        filled(gate.weigh.bias, 100)  # sigmoid(100) = 1
    images = torch.randn(2, 2, *size)
    torch.testing.assert_close(gated(images), plain(images))
    assert gated(images).shape == (2, 3, *size)


def test_shut_gates_leave_nothing_of_the_skips():
    torch.manual_seed(0)
    model = AttentionUNet(1, 2, (4, 6)).eval()
    filled(model.gates[0].weigh.weight, 0)
    filled(model.gates[0].weigh.bias, -200)  # sigmoid(-200) = 0
    finest, lowest = model.contract(torch.randn(1, 1, 8, 12))
    torch.testing.assert_close(model.expand([finest, lowest]), model.expand([finest + 5, lowest]))


def test_a_gate_worked_on_paper():
    gate = AttentionGate(2, 2)
    filled(gate.of_skip.weight, 0.5)
    filled(gate.of_signal.weight, 0.25)
    filled(gate.of_signal.bias, -1)
    filled(gate.weigh.weight, 2)
    filled(gate.weigh.bias, 0.5)
    skip = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1)
    signal = torch.tensor([4.0, 0.0]).reshape(1, 2, 1, 1)
    coefficient = torch.tensor(2 * (0.5 * 4 + 0.25 * 4 - 1) + 0.5).sigmoid()  # nothing for the ReLU to cut
    torch.testing.assert_close(gate.coefficients(skip, signal), coefficient.reshape(1, 1, 1, 1))
    torch.testing.assert_close(gate(skip, signal), skip * coefficient)
    torch.testing.assert_close(gate.coefficients(-skip, -signal), torch.tensor(0.5).sigmoid().reshape(1, 1, 1, 1))


def test_coefficients_are_one_number_a_position_between_0_and_1():
    torch.manual_seed(0)
    seen = []
    model = AttentionUNet(1, 2, (4, 6, 8))
    for gate in model.gates:
        gate.register_forward_hook(lambda gate, inputs, _: seen.append(gate.coefficients(*inputs)))
    model(torch.randn(2, 1, 8, 12))
    assert [tuple(c.shape) for c in seen] == [(2, 1, 4, 6), (2, 1, 8, 12)]
    assert all(0 < c.min() < c.max() < 1 for c in seen)


# Two tasks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "size"), [(2, (8, 20)), (3, (4, 8, 12))])
def test_the_segmentation_is_the_unets_and_the_class_comes_from_the_lowest_level(dims, size):
    torch.manual_seed(0)
    both = MultiTaskUNet(2, 3, 5, (4, 6, 8), dims=dims)
    plain = UNet(2, 3, (4, 6, 8), dims=dims)
    plain.load_state_dict({k: v for k, v in both.state_dict().items() if not k.startswith("classify")})
    images = torch.randn(2, 2, *size)
    segmentation, target = both(images)
    torch.testing.assert_close(segmentation, plain(images))
    lowest = plain.contract(images)[-1]
    torch.testing.assert_close(target, both.classify(lowest.mean(tuple(range(2, dims + 2)))))
    assert target.shape == (2, 5)


def test_each_task_teaches_the_way_down_and_its_own_head_alone():
    torch.manual_seed(0)
    taught = []
    for task in (0, 1):
        model = MultiTaskUNet(1, 2, 3, (4, 6))
        model(torch.randn(2, 1, 8, 12))[task].square().sum().backward()
        taught.append({key.split(".")[0] for key, value in model.named_parameters() if value.grad is not None})
    assert taught == [{"down", "up", "decode", "head"}, {"down", "classify"}]


def test_one_class_of_images_is_refused():
    with pytest.raises(ValueError, match=r"targets must be at least 2, .* got 1"):
        MultiTaskUNet(1, 2, 1)


# Memory across slices ------------------------------------------------------------------------------------------------


def test_on_maps_of_one_pixel_the_convolutional_lstm_is_the_lstm():
    torch.manual_seed(0)
    maps, cell = ConvLSTM(3, 4).double(), LSTMCell(3, 4).double()
    filled(cell.bias_hh, 0)  # one bias is enough, the convolutional one has no second
    with torch.no_grad():
        maps.see.weight[:, :, 1, 1] = cell.weight_ih  # around one pixel there is only padding
        maps.see.bias.copy_(cell.bias_ih)
        maps.remember.weight[:, :, 1, 1] = cell.weight_hh
    sequence = torch.randn(2, 6, 3, dtype=torch.float64)
    states = maps(sequence[..., None, None])
    assert states.shape == (2, 6, 4, 1, 1)
    torch.testing.assert_close(states[..., 0, 0], unroll(cell, sequence))


def test_the_memory_is_a_map_and_spreads_by_a_pixel_a_step():
    torch.manual_seed(0)
    layer = ConvLSTM(1, 2)
    still = torch.zeros(1, 4, 1, 1, 15)
    touched = still.clone()
    touched[0, 0, 0, 0, 7] = 1
    changed = (layer(touched) - layer(still)).abs().amax(dim=(0, 2, 3)) > 0  # (T, W)
    assert [row.nonzero().flatten().tolist() for row in changed] == [list(range(6 - t, 9 + t)) for t in range(4)]


@pytest.mark.parametrize("size", [(5, 8, 12), (1, 4, 20)])
def test_the_output_has_one_map_a_class_and_the_size_of_the_volume(size):
    model = RecurrentUNet(2, 5, (4, 6, 8))
    assert model.multiple == 4
    assert model(torch.zeros(2, 2, *size)).shape == (2, 5, *size)


def test_without_context_it_is_the_unet_slice_by_slice():
    torch.manual_seed(0)
    model = RecurrentUNet(2, 3, (4, 6)).eval()
    for memory in model.memories:
        filled(memory.merge.weight, 0)
    volumes = torch.randn(2, 2, 5, 8, 12)
    slices = torch.stack([model.unet(volumes[:, :, z]) for z in range(5)], dim=2)
    torch.testing.assert_close(model(volumes), slices)


@pytest.mark.parametrize("level", [0, 1])
def test_there_is_a_memory_at_every_level(level):
    torch.manual_seed(0)
    model = RecurrentUNet(1, 2, (4, 8)).eval()
    assert [memory.hidden for memory in model.memories] == [1, 2]
    for number, memory in enumerate(model.memories):
        filled(memory.merge.weight, float(number == level))
    volumes = torch.randn(1, 1, 4, 4, 6)
    other = volumes.clone()
    other[:, :, 0] += 1
    assert (model(volumes) - model(other))[:, :, 3].abs().max() > 0


def test_what_is_read_begins_at_the_size_of_the_maps():
    torch.manual_seed(0)
    memory = Memory(8).train()
    maps = torch.randn(3, 6, 8, 10, 12).relu()
    read = memory(maps) - maps
    assert read.shape == maps.shape
    assert 0.9 < read.std() < 1.1


@pytest.mark.parametrize(("changed", "seen"), [(0, 6), (6, 0), (3, 0), (3, 6)])
def test_every_slice_sees_those_before_and_after(changed, seen):
    torch.manual_seed(0)
    model = RecurrentUNet(1, 2, (4, 6)).eval()
    volumes = torch.randn(1, 1, 7, 4, 6)
    other = volumes.clone()
    other[:, :, changed] += 1
    assert (model(volumes) - model(other))[:, :, seen].abs().max() > 0


def test_patients_do_not_see_each_other():
    torch.manual_seed(0)
    model = RecurrentUNet(1, 2, (4, 6)).eval()
    volumes = torch.randn(3, 1, 4, 4, 6)
    alone = torch.cat([model(volume[None]) for volume in volumes])
    torch.testing.assert_close(model(volumes), alone)


def test_upside_down_the_two_directions_change_places():
    torch.manual_seed(0)
    model, other = (RecurrentUNet(1, 2, (4, 6)).eval() for _ in range(2))
    other.load_state_dict(model.state_dict())
    for memory in other.memories:
        memory.up_the_volume, memory.down_the_volume = memory.down_the_volume, memory.up_the_volume
        memory.merge.weight = nn.Parameter(memory.merge.weight.roll(memory.hidden, dims=1))
    volumes = torch.randn(1, 1, 5, 4, 6)
    torch.testing.assert_close(other(volumes.flip(2)).flip(2), model(volumes))


@pytest.mark.parametrize("shape", [(1, 2, 4, 8, 8), (1, 8, 8), (1, 1, 8, 8), (1, 1, 0, 8, 8)])
def test_wrong_channels_or_axes_of_a_volume_are_refused(shape):
    with pytest.raises(ValueError, match=r"volumes must be \(B, C, D, H, W\) with C = 1"):
        RecurrentUNet(1, 2, (2, 2))(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 2, 3, 4), (1, 2, 5, 4, 4), (1, 0, 3, 4, 4)])
@pytest.mark.parametrize(("layer", "name"), [(ConvLSTM(3, 2), "sequence"), (Memory(3), "maps")])
def test_wrong_channels_or_axes_of_a_sequence_are_refused(layer, name, shape):
    with pytest.raises(ValueError, match=rf"{name} must be \(B, ., C, H, W\) with C = 3 and a slice at least, got"):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("make", [lambda: ConvLSTM(0, 2), lambda: ConvLSTM(1, 0), lambda: Memory(0)])
def test_a_memory_without_channels_is_refused(make):
    with pytest.raises(ValueError, match="must be at least 1, got"):
        make()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (RecurrentUNet(1, 2, (2, 2, 2)), (1, 1, 5, 8, 10)),
        (AttentionUNet(1, 2, (2, 2, 2)), (1, 1, 8, 10)),
        (MultiTaskUNet(1, 2, 2, (2, 2, 2)), (1, 1, 8, 10)),
    ],
    ids=["recurrent", "attention", "multi-task"],
)
def test_a_wrong_size_is_refused_with_the_size_that_fits(model, shape):
    with pytest.raises(ValueError, match=r"must be a multiple of 4, got \(8, 10\); pad the images to \(8, 12\)"):
        model(torch.zeros(shape))


@pytest.mark.parametrize("network", [AttentionUNet, RecurrentUNet, lambda *a: MultiTaskUNet(*a[:2], 2, *a[2:])])
@pytest.mark.parametrize("wrong", [(0, 2, (4,)), (1, 1, (4,)), (1, 2, ()), (1, 2, (4, 0))])
def test_numbers_that_make_no_network_are_refused(network, wrong):
    with pytest.raises(ValueError, match="widths at least one positive number, got"):
        network(*wrong)
