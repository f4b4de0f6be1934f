"""Optimizers against those of PyTorch and Keras: their numbers, computed once, and live."""

from __future__ import annotations

import numpy as np
import pytest
from symprop import SGD, Adagrad, Adam, AdamW, Dense, Network, RMSProp

from cases import draw
from test_optimizers import steps_of

CURVES, START = np.array([0.1, 1.0, 3.0, 0.5]), np.array([1.0, -0.5, 0.25, 2.0])


def slope(w, step):
    """The gradient of a quadratic bowl that is shaken."""
    return CURVES * w + 0.5 * np.sin(step + np.arange(4))


OURS = {
    "sgd": SGD(0.1),
    "momentum": SGD(0.1, momentum=0.9),
    "nesterov": SGD(0.1, momentum=0.9, nesterov=True),
    "adagrad": Adagrad(0.1),
    "adagrad-start": Adagrad(0.1, accumulator=0.1, epsilon=1e-7),
    "rmsprop": RMSProp(0.01),
    "rmsprop-momentum": RMSProp(0.01, rho=0.99, momentum=0.9),
    "adam": Adam(0.01),
    "adamw": AdamW(0.01, weight_decay=0.1),
    "adam-clip-value": Adam(0.01, clip_value=0.3),
}
PYTORCH = {
    "sgd": {
        1: [0.99, -0.4920735492403948, 0.1295351286587159, 1.8929439995970065],
        10: [0.8103631821633648, -0.211358042400924, 0.050014362791400244, 1.2773832028216285],
        100: [0.3764629111719842, 0.05450712981544856, 0.01665490076642469, -0.010900472963574838],
    },
    "momentum": {
        1: [0.99, -0.4920735492403948, 0.1295351286587159, 1.8929439995970065],
        10: [0.3320608500019069, 0.27119469656188416, 0.058875195194773675, -0.491895458438451],
        100: [
            -0.028462752200282295,
            0.032458447845491054,
            0.08706171793204903,
            0.022250644772756373,
        ],
    },
    "nesterov": {
        1: [0.981, -0.4849397435567502, 0.02111674445156021, 1.7965935992343125],
        10: [0.24829224082416945, 0.1306156899065137, 0.09779750322793322, -0.3717015636361203],
        100: [0.004295639476594112, 0.09876441091095116, 0.07975304956250266, 0.002148978783654183],
    },
    "adagrad": {
        1: [0.9000000000999999, -0.4000000001261599, 0.15000000000830116, 1.9000000000093409],
        10: [0.686131656140007, -0.17615869724414196, 0.045765226118330296, 1.5565750803819043],
        100: [0.5112044853680888, 0.009365109746919988, 0.006967559463484037, 0.6257284397372626],
    },
    "adagrad-start": {
        1: [0.96984887463313, -0.47568652626339797, 0.1532770586942433, 1.9040964353251968],
        10: [0.7705373458348591, -0.2043092041776934, 0.04704758838506452, 1.565426226031555],
        100: [0.5714563531440361, 0.007711082329040591, 0.006943147598227979, 0.6334026179858747],
    },
    "rmsprop": {
        1: [0.968377233398313, -0.4683772360142982, 0.2183772242284337, 1.9683772243324067],
        10: [0.8920029882428191, -0.3486430391761451, 0.13332992272654778, 1.8411089951105872],
        100: [0.72312773152921, -0.024060289751820216, 0.007230653702026732, 1.051103922331916],
    },
    "rmsprop-momentum": {
        1: [0.9000000999999, -0.4000001261597112, 0.15000000830117455, 1.9000000093409048],
        10: [-0.466173476655502, 0.5511564131652585, -0.010217787231158492, 0.05815138032706319],
        100: [0.00842907538597603, 0.008163519907394787, 0.017208741884139605, 0.02248774401442211],
    },
    "adam": {
        1: [0.9900000009999999, -0.49000000126159854, 0.24000000008301176, 1.990000000093409],
        10: [0.9423499149480329, -0.41781284364523225, 0.16270412179498137, 1.9042558586245373],
        100: [0.7288573813446356, -0.03425353568378222, 0.0022736171929676066, 1.1475747633542346],
    },
    "adamw": {
        1: [0.9890000009999999, -0.48950000126159854, 0.23975000008301176, 1.988000000093409],
        10: [0.9327686099865221, -0.4133338988959459, 0.16071705123563146, 1.8848319287076893],
        100: [0.6573184594594721, -0.02864992241819053, 0.002307627266142142, 1.0198742018020446],
    },
    "adam-clip-value": {
        1: [0.9900000009999999, -0.49000000126159854, 0.24000000033333332, 1.9900000003333334],
        10: [0.9465875568238473, -0.412204666909656, 0.15233283983140175, 1.9000000033333335],
        100: [0.8110595886469602, -0.05384050031037653, 0.0014106924462187864, 1.029838329299075],
    },
}
"""w after 1, 10 and 100 steps of PyTorch 2.14.1 in float64."""


@pytest.mark.parametrize("name", OURS)
def test_steps_equal_pytorchs(name):
    path = steps_of(OURS[name], START, 100, slope)
    for step, expected in PYTORCH[name].items():
        np.testing.assert_allclose(path[step - 1], expected, rtol=1e-12)


SINGLE = {
    "sgd": (SGD(0.5), [0.5, -1.0, -0.5, 3.0]),
    "adagrad": (Adagrad(0.5, accumulator=0.1), [0.5233, 1.5007, 2.5005, 3.5061]),
    "rmsprop": (RMSProp(0.5), [-0.5811, 0.4189, 1.4189, 2.4189]),
    "adam": (Adam(0.5), [0.5, 1.5, 2.5, 3.5]),
    "adamw": (AdamW(0.5, weight_decay=0.004), [0.4980, 1.4960, 2.494, 3.492]),
}
"""Keras's tests ``test_single_step``, four decimals."""


@pytest.mark.parametrize("name", SINGLE)
def test_a_step_equals_keras_published_numbers(name):
    given, expected = SINGLE[name]
    gradient = np.array([1.0, 6.0, 7.0, 2.0])
    (found,) = steps_of(given, np.array([1.0, 2.0, 3.0, 4.0]), 1, lambda w, step: gradient)
    np.testing.assert_allclose(found, expected, atol=1e-4)


FIRST, LATER = np.full(10, 0.01), np.arange(1, 11) / 10
FIVE = {
    "sgd": (
        SGD(),
        np.array([[0.9999] * 10] + [0.9999 - 0.001 * n * np.arange(1, 11) for n in (1, 2, 3, 4)]),
    ),
    "adagrad": (
        Adagrad(0.2, accumulator=0.3, epsilon=1e-6),
        [
            [0.9963] * 10,
            [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
            [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.7040, 0.6956, 0.6891],
            [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.5790],
            [0.8560, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.4910, 0.4825],
        ],
    ),
}
"""Keras's tests ``test_correctness_with_golden``, four decimals."""


@pytest.mark.parametrize("name", FIVE)
def test_five_steps_equal_keras_published_numbers(name):
    given, expected = FIVE[name]
    found = steps_of(given, np.ones(10), 5, lambda w, step: LATER if step else FIRST)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def keras_adamw(rate, decay, epsilon, steps):
    """Keras's AdamW: ε is added to √v before the correction."""
    w, m, v, path = np.ones(10), np.zeros(10), np.zeros(10), []
    for t in range(1, steps + 1):
        g = FIRST if t == 1 else LATER
        w = w - rate * decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + epsilon)
        path.append(w)
    return path


def test_keras_epsilon_is_ours_over_the_root_of_the_correction():
    """The formula as documented gives Keras's golden numbers, and ours where ε is converted."""
    last = [0.0263, 0.0215, 0.0167, 0.0120, 0.0073, 0.0026, -0.0021, -0.0067, -0.0113, -0.0159]
    np.testing.assert_allclose(keras_adamw(1.0, 0.5, 2.0, 5)[-1], last, atol=1e-4)
    ours = AdamW(1.0, epsilon=2.0 / np.sqrt(1 - 0.999), weight_decay=0.5)
    (found,) = steps_of(ours, np.ones(10), 1, lambda w, step: FIRST)
    np.testing.assert_allclose(found, keras_adamw(1.0, 0.5, 2.0, 1)[0], rtol=1e-12)


LIVE = {
    "sgd": lambda o, p: o.SGD(p, 0.1),
    "momentum": lambda o, p: o.SGD(p, 0.1, momentum=0.9),
    "nesterov": lambda o, p: o.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda o, p: o.Adagrad(p, 0.1),
    "rmsprop": lambda o, p: o.RMSprop(p, 0.01, alpha=0.9),
    "adam": lambda o, p: o.Adam(p, 0.01),
    "adamw": lambda o, p: o.AdamW(p, 0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("name", LIVE)
def test_compiled_training_of_a_network_equals_pytorchs(name):
    """A hundred steps of compiled training, relative to the largest element."""
    torch = pytest.importorskip("torch")
    net = Network([Dense(5, "tanh"), Dense(2)], inputs=3, loss="mse")
    x, y = draw(1, 16, 3), draw(2, 16, 2)
    model = net.compile(OURS[name], dtype="float64", seed=0)
    theirs = {k: torch.tensor(v, requires_grad=True) for k, v in model.parameters.items()}
    optimizer = LIVE[name](torch.optim, list(theirs.values()))
    for _ in range(100):
        optimizer.zero_grad()
        hidden = torch.tanh(torch.tensor(x) @ theirs["W1"].T + theirs["b1"])
        predicted = hidden @ theirs["W2"].T + theirs["b2"]
        ((predicted - torch.tensor(y)) ** 2).mean().backward()
        optimizer.step()
    model.fit(x, y, epochs=100, batch_size=16, shuffle=False)
    for label, found in model.parameters.items():
        expected = theirs[label].detach().numpy()
        assert np.abs(found - expected).max() <= 1e-10 * np.abs(expected).max()
