"""The recurrent cells against torch's, values and gradients, and the classifier against the cells."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from medlab.models.recurrent import GRUCell, LSTMCell, RecurrentClassifier, RNNCell, unroll

pytestmark = pytest.mark.usefixtures("one_thread")

CELLS = {"rnn": RNNCell, "lstm": LSTMCell, "gru": GRUCell}
LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
every_cell = pytest.mark.parametrize("name", CELLS)


def of_layer(layer, end):
    """The weights of one layer and direction of torch's under the names of a cell."""
    return {key.removesuffix(end): value for key, value in layer.state_dict().items() if key.endswith(end)}


@every_cell
@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    batch=st.integers(1, 4),
    steps=st.integers(1, 7),
    inputs=st.integers(1, 6),
    hidden=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
def test_a_cell_equals_torch_in_values_and_gradients(name, batch, steps, inputs, hidden, seed):
    torch.manual_seed(seed)
    layer = LAYERS[name](inputs, hidden, batch_first=True).double()
    cell = CELLS[name](inputs, hidden).double()
    cell.load_state_dict(of_layer(layer, "_l0"))
    sequence = torch.randn(batch, steps, inputs, dtype=torch.float64)
    ours, theirs = (sequence.clone().requires_grad_() for _ in range(2))
    states, expected = unroll(cell, ours), layer(theirs)[0]
    torch.testing.assert_close(states, expected, rtol=1e-10, atol=1e-12)
    weights = torch.randn(batch, steps, hidden, dtype=torch.float64)  # another gradient at every step
    (states * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)
    for key, parameter in cell.named_parameters():
        torch.testing.assert_close(parameter.grad, getattr(layer, f"{key}_l0").grad, rtol=1e-10, atol=1e-12)


@every_cell
def test_a_cell_takes_the_weights_of_torchs_cell(name):
    torch.manual_seed(0)
    theirs = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}[name](3, 5)
    ours = CELLS[name](3, 5)
    ours.load_state_dict(theirs.state_dict())
    x, state = torch.randn(2, 3), torch.randn(2, 5)
    state = (state, torch.randn(2, 5)) if name == "lstm" else state
    torch.testing.assert_close(ours(x, state), theirs(x, state))


def test_one_step_worked_on_paper():
    cell = RNNCell(2, 3)
    weights = {
        "weight_ih": torch.tensor([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]),
        "weight_hh": torch.full((3, 3), 0.5),
        "bias_ih": torch.zeros(3),
        "bias_hh": torch.zeros(3),
    }
    cell.load_state_dict(weights)
    h = cell(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.1, 0.2, 0.3]]))
    torch.testing.assert_close(h, torch.tensor([[0.6, 0.9, 1.2]]).tanh())


def test_an_lstm_with_open_gates_adds_up_and_with_a_shut_forget_gate_forgets():
    cell = LSTMCell(1, 1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias_ih.copy_(torch.tensor([50.0, 50.0, 0.0, 50.0]))  # i, f and o open, g from the input alone
        cell.weight_ih[2] = 1
    x, c = torch.full((1, 1), 0.3), torch.full((1, 1), 0.25)
    h, kept = cell(x, (torch.zeros(1, 1), c))
    torch.testing.assert_close(kept, c + x.tanh())
    torch.testing.assert_close(h, kept.tanh())
    with torch.no_grad():
        cell.bias_ih[1] = -50
    torch.testing.assert_close(cell(x, (torch.zeros(1, 1), c))[1], x.tanh())


@every_cell
def test_first_weights_are_spread_as_torch_spreads_them(name):
    torch.manual_seed(0)
    values = torch.cat([parameter.detach().flatten() for parameter in CELLS[name](40, 100).parameters()])
    assert values.abs().max() <= 0.1  # 1 / sqrt(100)
    assert values.abs().max() > 0.0999
    assert values.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)


@pytest.mark.parametrize(("inputs", "hidden"), [(0, 3), (3, 0)])
def test_a_cell_without_numbers_is_refused(inputs, hidden):
    with pytest.raises(ValueError, match=f"inputs and hidden must be at least 1, got {inputs} and {hidden}"):
        GRUCell(inputs, hidden)


@every_cell
@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 0, 2), (4, 2)])
def test_a_sequence_that_does_not_fit_the_cell_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"sequence must be \(B, T, N\) with T at least 1 and N = 2, got shape \(4,"):
        unroll(CELLS[name](2, 3), torch.zeros(shape))


@every_cell
def test_the_classifier_is_the_mean_of_the_cells_states_and_a_linear_layer(name):
    torch.manual_seed(0)
    model = RecurrentClassifier(2, 3, 5, cell=name, samples_per_step=4).double()
    cell = CELLS[name](8, 5).double()
    cell.load_state_dict(of_layer(model.layer, "_l0"))
    signals = torch.randn(3, 2, 12, dtype=torch.float64)
    steps = [signals[:, :, at : at + 4].reshape(3, 8) for at in (0, 4, 8)]  # both leads, four samples each
    states = unroll(cell, torch.stack(steps, dim=1))
    torch.testing.assert_close(model(signals), model.head(states.mean(1)))


@every_cell
def test_the_second_direction_reads_from_the_end(name):
    torch.manual_seed(0)
    model = RecurrentClassifier(2, 3, 5, cell=name, bidirectional=True)
    one_way = RecurrentClassifier(2, 3, 5, cell=name)
    signals = torch.randn(4, 2, 9)
    sums = []
    for end, read, columns in (("_l0", signals, slice(0, 5)), ("_l0_reverse", signals.flip(2), slice(5, 10))):
        cell = {f"{key}_l0": value for key, value in of_layer(model.layer, end).items()}
        one_way.layer.load_state_dict(cell)
        one_way.head.load_state_dict({"weight": model.head.weight[:, columns], "bias": model.head.bias / 2})
        sums.append(one_way(read))
    torch.testing.assert_close(model(signals), sums[0] + sums[1])


@pytest.mark.parametrize("length", [1, 2, 37])
def test_any_length_goes_when_a_step_reads_one_sample(length):
    assert RecurrentClassifier(1, 2, 3)(torch.zeros(2, 1, length)).shape == (2, 2)


@pytest.mark.parametrize(("length", "fits"), [(10, "8 or 12"), (3, "4"), (0, "4")])
def test_a_length_that_does_not_fit_is_refused_with_those_that_do(length, fits):
    model = RecurrentClassifier(1, 2, 3, samples_per_step=4)
    assert model.multiple == 4
    with pytest.raises(ValueError, match=f"4 samples a step .* multiple of that, got {length}; .* to {fits}$"):
        model(torch.zeros(2, 1, length))


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 8), (2, 1, 8, 8)])
def test_other_channels_or_axes_are_refused(shape):
    with pytest.raises(ValueError, match=r"signals must be \(B, C, T\) with C = 1, got shape"):
        RecurrentClassifier(1, 2, 3)(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"in_channels": 0}, {"classes": 1}, {"hidden": 0}, {"samples_per_step": 0}])
def test_numbers_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        RecurrentClassifier(**{"in_channels": 1, "classes": 2, **wrong})


def test_an_unknown_cell_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"cell must be one of \['gru', 'lstm', 'rnn'\], got 'LSTM'"):
        RecurrentClassifier(1, 2, cell="LSTM")
