"""Recurrent networks: the three cells written out, and a classifier of signals. Lesson 23 builds both.

The cells have the names, shapes, gate order and first values of `torch.nn.RNNCell`, `LSTMCell` and `GRUCell`, so that
weights can be copied from one to the other. The classifier uses torch's fused layers, which compute the same faster.

Source: Elman 1990, doi:10.1207/s15516709cog1402_1 (RNN); Hochreiter and Schmidhuber 1997,
doi:10.1162/neco.1997.9.8.1735 (LSTM) with the forget gate of Gers et al. 2000, doi:10.1162/089976600300015015;
Cho et al. 2014, doi:10.3115/v1/D14-1179 (GRU).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RecurrentClassifier", "unroll"]

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RNNCell(nn.Module):
    """One step of the simple recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).

    Args:
        inputs: numbers that come in at every step.
        hidden: numbers that are remembered.
    """

    gates = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        if inputs < 1 or hidden < 1:
            raise ValueError(f"inputs and hidden must be at least 1, got {inputs} and {hidden}")
        self.inputs, self.hidden = inputs, hidden
        rows = self.gates * hidden
        self.weight_ih = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        # As torch does. A forget gate that starts open (bias 1: Jozefowicz et al. 2015) is not part of it.
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden), 1 / math.sqrt(hidden))

    def start(self, x: Tensor) -> Tensor:
        """The state before the first step: zeros (B, hidden) for inputs x (B, ...)."""
        return x.new_zeros(len(x), self.hidden)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """The next state (B, hidden) from input x (B, inputs) and state h (B, hidden)."""
        seen = F.linear(x, self.weight_ih, self.bias_ih)  # (B, hidden)
        remembered = F.linear(h, self.weight_hh, self.bias_hh)  # (B, hidden)
        return torch.tanh(seen + remembered)  # (B, hidden)


class LSTMCell(RNNCell):
    """One step of the long short-term memory: a cell c that gates write to, keep and read.

    i, f, o = sigmoid(...), g = tanh(...); c' = f * c + i * g; h' = o * tanh(c'). The rows of the weights hold the
    gates in the order i, f, g, o.
    """

    gates = 4

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The state before the first step: h and c, zeros (B, hidden) each."""
        return super().start(x), super().start(x)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The next (h, c), each (B, hidden), from input x (B, inputs) and (h, c)."""
        h, c = state  # (B, hidden) each
        seen = F.linear(x, self.weight_ih, self.bias_ih)  # (B, 4 * hidden)
        remembered = F.linear(h, self.weight_hh, self.bias_hh)  # (B, 4 * hidden)
        i, f, g, o = (seen + remembered).chunk(4, dim=1)  # (B, hidden) each
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)  # (B, hidden)
        return torch.sigmoid(o) * torch.tanh(c), c  # (B, hidden) each


class GRUCell(RNNCell):
    """One step of the gated recurrent unit: a mix of the old state and a new one.

    r, z = sigmoid(...); n = tanh(W_in x + b_in + r * (W_hn h + b_hn)); h' = (1 - z) * n + z * h. The rows of the
    weights hold the gates in the order r, z, n.
    """

    gates = 3

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """The next state (B, hidden) from input x (B, inputs) and state h (B, hidden)."""
        seen = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=1)  # r, z, n: (B, hidden) each
        remembered = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=1)  # r, z, n: (B, hidden) each
        r = torch.sigmoid(seen[0] + remembered[0])  # (B, hidden)
        z = torch.sigmoid(seen[1] + remembered[1])  # (B, hidden)
        n = torch.tanh(seen[2] + r * remembered[2])  # (B, hidden)
        return (1 - z) * n + z * h  # (B, hidden)


def unroll(cell: RNNCell, sequence: Tensor) -> Tensor:
    """The hidden states (B, T, hidden) of a cell that reads a sequence (B, T, inputs) from zeros on.

    Raises:
        ValueError: if the sequence has other axes, other numbers a step than the cell takes, or no step.
    """
    if sequence.ndim != 3 or sequence.shape[2] != cell.inputs or sequence.shape[1] == 0:
        shape = tuple(sequence.shape)
        raise ValueError(f"sequence must be (B, T, N) with T at least 1 and N = {cell.inputs}, got shape {shape}")
    state = cell.start(sequence)
    states = []
    for x in sequence.unbind(dim=1):  # (B, inputs)
        state = cell(x, state)
        states.append(state[0] if isinstance(state, tuple) else state)  # (B, hidden)
    return torch.stack(states, dim=1)  # (B, T, hidden)


class RecurrentClassifier(nn.Module):
    """Reads a signal step by step and classifies it by the mean of all hidden states.

    The mean, not the last state: what matters may stand anywhere in the signal, and the loss reaches every step
    directly.

    Args:
        in_channels: channels of the signal, such as the leads of an ECG.
        classes: how many classes; two classes have two logits.
        hidden: numbers that are remembered, in each direction.
        cell: "rnn", "lstm" or "gru".
        samples_per_step: neighbouring samples that one step reads together; fewer steps are faster and remember
            farther.
        bidirectional: a second network reads the signal from its end.

    Attributes:
        dims: 1, one axis besides batch and channels.
        multiple: the length of the signal must be a multiple of this, `samples_per_step`.

    Raises:
        ValueError: for a number or a name that makes no network.

    Built by hand in lesson 23.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        hidden: int = 64,
        *,
        cell: str = "lstm",
        samples_per_step: int = 1,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        if cell not in LAYERS:
            raise ValueError(f"cell must be one of {sorted(LAYERS)}, got {cell!r}")
        if in_channels < 1 or classes < 2 or hidden < 1 or samples_per_step < 1:
            raise ValueError(
                "in_channels, hidden and samples_per_step must be at least 1 and classes at least 2, got in_channels="
                f"{in_channels}, hidden={hidden}, samples_per_step={samples_per_step}, classes={classes}"
            )
        self.in_channels, self.classes, self.hidden, self.cell = in_channels, classes, hidden, cell
        self.samples_per_step, self.bidirectional = samples_per_step, bidirectional
        self.dims, self.multiple = 1, samples_per_step
        features = in_channels * samples_per_step
        self.layer = LAYERS[cell](features, hidden, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(2 * hidden if bidirectional else hidden, classes)

    def forward(self, signals: Tensor) -> Tensor:
        """Logits (B, classes) of signals (B, in_channels, T).

        Raises:
            ValueError: if the channels or the length do not fit; the message says which would.
        """
        self._check(signals)
        steps = signals.unflatten(2, (-1, self.samples_per_step))  # (B, C, steps, samples)
        steps = steps.transpose(1, 2).flatten(start_dim=2)  # (B, steps, C * samples)
        states, _ = self.layer(steps)  # (B, steps, hidden), twice as many when bidirectional
        return self.head(states.mean(dim=1))  # (B, classes)

    def _check(self, signals: Tensor) -> None:
        if signals.ndim != 3 or signals.shape[1] != self.in_channels:
            raise ValueError(f"signals must be (B, C, T) with C = {self.in_channels}, got shape {tuple(signals.shape)}")
        length = signals.shape[2]
        if length == 0 or length % self.multiple:
            below = length // self.multiple * self.multiple
            fits = f"{below} or {below + self.multiple}" if below else f"{self.multiple}"
            raise ValueError(
                f"with {self.samples_per_step} samples a step the length must be a multiple of that, got {length}; "
                f"cut or pad the signals to {fits}"
            )
