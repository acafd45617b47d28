"""Losses, gradients and probabilities agree with values computed with 50 digits (mpmath)."""

import json

import numpy as np
import pytest
import torch

from sk_quadrant.losses import (
    LOSSES,
    ZLPR,
    Asymmetric,
    BCEWithLogits,
    Exponential,
    Focal,
    Hinge,
    ModifiedHuber,
    Poly1,
    ShiftedSigmoidBCE,
    SquaredHinge,
)

LOSS = {
    "bce_with_logits": BCEWithLogits(),
    "bce_with_logits(pos_weight=2)": BCEWithLogits(pos_weight=2),
    "shifted_sigmoid_bce": ShiftedSigmoidBCE(),
    "focal(gamma=2)": Focal(gamma=2),
    "focal(gamma=2, alpha=0.25)": Focal(gamma=2, alpha=0.25),
    "asymmetric(gamma_pos=1, gamma_neg=4, clip=0.05)": Asymmetric(gamma_pos=1, gamma_neg=4, clip=0.05),
    "asymmetric(gamma_pos=1, gamma_neg=4, clip=0)": Asymmetric(gamma_pos=1, gamma_neg=4, clip=0),
    "poly1(epsilon=1)": Poly1(epsilon=1),
    "poly1(epsilon=2)": Poly1(epsilon=2),
    "hinge": Hinge(),
    "squared_hinge": SquaredHinge(),
    "modified_huber": ModifiedHuber(),
    "exponential": Exponential(),
}

# Score, target, loss, its derivative, and the probability of the score (where the target is 0 and there is a link).
# Computed with mpmath at 50 digits from the formulas as published, cut to 22 digits.
TABLE = """
bce_with_logits
    -1e7  0.3  3000000.0                     -0.3                           -
    -20   0    2.061153620314380703239e-9    2.061153618190203581431e-9     2.061153618190203581431e-9
    -20   1    20.00000000206115362031       -0.9999999979388463818098      -
    -1    0    0.313261687518222834049       0.2689414213699951207488       0.2689414213699951207488
    0.01  0.3  0.6951596805078623233035      0.2024999791668749978919       -
    3     1    0.04858735157374205875893     -0.04742587317756678087885     -
    20    0    20.00000000206115362031       0.9999999979388463818098       0.9999999979388463818098
    100   1    3.72007597602083596296e-44    -3.72007597602083596296e-44    -
    1e7   0    10000000.0                    1.0                            1.0
bce_with_logits(pos_weight=2)
    -1e7  0.3  6000000.0                     -0.6                           -
    -20   0    2.061153620314380703239e-9    2.061153618190203581431e-9     1.030576810157190351255e-9
    -20   1    40.00000000412230724063       -1.99999999587769276362        -
    -1    0    0.313261687518222834049       0.2689414213699951207488       0.1553624034969636067934
    0.01  0.3  0.9016075846602210202945      0.05324997291693749725945      -
    3     1    0.09717470314748411751785     -0.0948517463551335617577      -
    20    0    20.00000000206115362031       0.9999999979388463818098       0.9999999958776927721163
    100   1    7.440151952041671925919e-44   -7.440151952041671925919e-44   -
    1e7   0    10000000.0                    1.0                            1.0
shifted_sigmoid_bce
    -1e7  0.3  3000000.0                     -0.3                           -
    -20   0    2.06115361606602646546e-9     2.061153609693495123387e-9     2.061153613941849352409e-9
    -20   1    20.00000000412230723638       -0.9999999958776927721163      -
    -1    0    0.2381830264138282550065      0.1549416938641757693928       0.2119415576170854450708
    0.01  0.3  0.6135782777139435928609      0.01713518747418145467272      -
    3     1    0.717735918666702574795       -0.02428889767926320691785     -
    20    0    0.6931471795293684997911      1.030576808033013230176e-9     0.4999999994847115949214
    100   1    0.6931471805599453094172      -1.86003798801041798148e-44    -
    1e7   0    0.6931471805599453094172      0.0                            0.5
focal(gamma=2)
    -1e7  0.3  3000000.0                     -0.3                           -
    -20   0    8.756510717575235803557e-27   2.626953210760442303694e-26    2.626953010421956157577e-26
    -20   1    19.99999991961500896918       -1.000000076262683554411       -
    -1    0    0.02265805750846733152506     0.05258112997756062092165      0.06405959360318284642632
    0.01  0.3  0.1744999186026266432119      0.1233118745045171841723       -
    3     1    1.092833244969975227796e-4    -3.148718464882812955197e-4    -
    20    0    19.99999991961500896918       1.000000076262683554411        1.0
    100   1    5.148200222412013781155e-131  -1.544460066723604134346e-130  -
    1e7   0    10000000.0                    1.0                            1.0
focal(gamma=2, alpha=0.25)
    -1e7  0.3  750000.0                      -0.075                         -
    -20   0    6.567383038181426852667e-27   1.970214908070331727771e-26    7.880859031265868472732e-26
    -20   1    4.999999979903752242294       -0.2500000190656708886027      -
    -1    0    0.0169935431313504986438      0.03943584748317046569124      0.1703532596457766574822
    0.01  0.3  0.1053263635236899634036      0.1366303793458939636232       -
    3     1    2.732083112424938069489e-5    -7.871796162207032387993e-5    -
    20    0    14.99999993971125672688       0.7500000571970126658082       1.0
    100   1    1.287050055603003445289e-131  -3.861150166809010335866e-131  -
    1e7   0    7500000.0                     0.75                           1.0
asymmetric(gamma_pos=1, gamma_neg=4, clip=0.05)
    -1e7  0.3  3000000.0                     -0.3                           -
    -20   0    0.0                           0.0                            0.0
    -20   1    19.99999996083808125226       -1.000000037100765050953       -
    -1    0    5.677975178983673386107e-4    0.002617967939454078325335     0.003291933635234878424551
    0.01  0.3  0.1203866068578816798899      -0.07339405047704910898766     -
    3     1    0.002304297573770140623838    -0.004444227695927791330546    -
    20    0    2.440042605383974734013       5.47524594773576755846e-8      0.9999999998448159488913
    100   1    1.383896526736737530649e-87   -2.767793053473475061297e-87   -
    1e7   0    2.440042660136435376597       0.0                            1.0
asymmetric(gamma_pos=1, gamma_neg=4, clip=0)
    -1e7  0.3  3000000.0                     -0.3                           -
    -20   0    3.720075941516419826129e-44   1.860037967307768318873e-43    1.860037898298939268215e-43
    -20   1    19.99999996083808125226       -1.000000037100765050953       -
    -1    0    0.001638845701573858775669    0.006199350634868740753581     0.007760354325403424933266
    0.01  0.3  0.1338678041562141171809      -0.0414268624656153831969      -
    3     1    0.002304297573770140623838    -0.004444227695927791330546    -
    20    0    19.99999983716886465791       1.000000154586520064269        0.9999999999999999915033
    100   1    1.383896526736737530649e-87   -2.767793053473475061297e-87   -
    1e7   0    10000000.0                    1.0                            1.0
poly1(epsilon=1)
    -1e7  0.3  3000000.3                     -0.3                           -
    -20   0    4.12230723850458428467e-9     4.122307232132052925083e-9     4.12230721513863609656e-9
    -20   1    21.00000000000000000212       -0.9999999999999999957516      -
    -1    0    0.5822031088882179547978      0.4655533546114769732863       0.33415545470572065036
    0.01  0.3  1.19615967217461232246        0.3024974792085410742885       -
    3     1    0.09601322475130883963777     -0.09260253290847891352821     -
    20    0    21.00000000000000000212       0.9999999999999999957516       0.9999999958776927848614
    100   1    7.440151952041671925919e-44   -7.440151952041671925919e-44   -
    1e7   0    10000001.0                    1.0                            1.0
poly1(epsilon=2)
    -1e7  0.3  3000000.6                     -0.3                           -
    -20   0    6.183460856694787866101e-9    6.183460846073902268735e-9     6.183460795093652010835e-9
    -20   1    21.99999999793884638393       -1.000000002061153609693       -
    -1    0    0.8511445302582130755467      0.6621652878529588258237       0.3706603197136964224137
    0.01  0.3  1.697159663841362321617       0.402494979250207150685        -
    3     1    0.1434390979288756205166      -0.1377791926393910461776      -
    20    0    21.99999999793884638393       1.000000002061153609693        0.9999999938165392049063
    100   1    1.116022792806250788888e-43   -1.116022792806250788888e-43   -
    1e7   0    10000002.0                    1.0                            1.0
hinge
    -1e7  0.3  3000000.3                     -0.3                           -
    -20   0    0.0                           0.0                            -
    -20   1    21.0                          -1.0                           -
    -1    0    0.0                           0.5                            -
    0.01  0.3  1.004                         0.4                            -
    3     1    0.0                           0.0                            -
    20    0    21.0                          1.0                            -
    100   1    0.0                           0.0                            -
    1e7   0    10000001.0                    1.0                            -
squared_hinge
    -1e7  0.3  3.00000060000003e+13          -6000000.6                     -
    -20   0    0.0                           0.0                            0.0
    -20   1    441.0                         -42.0                          -
    -1    0    0.0                           5.0e-26                        0.0
    0.01  0.3  1.0081                        0.82                           -
    3     1    0.0                           0.0                            -
    20    0    441.0                         42.0                           1.0
    100   1    0.0                           0.0                            -
    1e7   0    1.00000020000001e+14          20000002.0                     1.0
modified_huber
    -1e7  0.3  12000000.0                    -1.2                           -
    -20   0    0.0                           0.0                            0.0
    -20   1    80.0                          -4.0                           -
    -1    0    0.0                           5.0e-26                        0.0
    0.01  0.3  1.0081                        0.82                           -
    3     1    0.0                           0.0                            -
    20    0    80.0                          4.0                            1.0
    100   1    0.0                           0.0                            -
    1e7   0    40000000.0                    4.0                            1.0
exponential
    -20   0    2.061153622438557827966e-9    2.061153622438557827966e-9     4.248354255291588977281e-18
    -20   1    485165195.4097902779691       -485165195.4097902779691       -
    -1    0    0.3678794411714423215955      0.3678794411714423215955       0.1192029220221175559403
    0.01  0.3  1.004050067083668056352       0.4100201668341672242073       -
    3     1    0.04978706836786394297934     -0.04978706836786394297934     -
    20    0    485165195.4097902779691       485165195.4097902779691        0.9999999999999999957516
    100   1    3.72007597602083596296e-44    -3.72007597602083596296e-44    -
"""

# ZLPR: scores, targets, loss, gradient; the same source.
ZLPR_TABLE = {
    "hard L=1 y=1": (ZLPR(), "0.7", "1", "0.4031860488854578931909", "-0.3318122278318338934692"),
    "hard L=3": (
        ZLPR(),
        "2 -1 0.5",
        "1 0 0",
        "1.231058616379700768491",
        "-0.1192029220221175559403 0.1219516523097288572059 0.5465493872661796377072",
    ),
    "soft L=3": (
        ZLPR(),
        "2 -1 0.5",
        "0.3 0.6 0.9",
        "3.037981886566429707521",
        "0.785044533288297440197 -0.4842206815240919699848 -0.1442355966435637278718",
    ),
    "mixed hard/soft": (
        ZLPR(),
        "2 -1 0.5 0.1",
        "1 0 0.25 0.5",
        "1.703156618836846638396",
        "-0.07780632482015959325213 0.116527956637948167964 0.3045056133524195544021 -0.08506777325882674285069",
    ),
    "masked -1e7 with t=0": (
        ZLPR(),
        "2 -1e7 0.5",
        "1 0 0",
        "1.101004995223079177317",
        "-0.1192029220221175559403 5.727053267850139771246e-4342946 0.6224593312018545646389",
    ),
    "soft t=.3 at -1e7 (genuine loss ~1e7)": (
        ZLPR(),
        "-1e7 -1 0.5",
        "0.3 0 0",
        "9999999.900157801010792",
        "-1.0 0.1219516523097288572059 0.5465493872661796377072",
    ),
    "tiny soft 1e-9 at s=-30": (
        ZLPR(),
        "-30 -1 0.5",
        "1e-9 0 1",
        "9.590146172355009425864",
        "-0.9998496895145553870584 0.2689414213699767225454 -5.674832117630562888381e-5",
    ),
    "well separated (loss ~1e-13)": (
        ZLPR(),
        "30 -30 -31",
        "1 0 0",
        "2.215772304614906862988e-13",
        "-9.35762296883929895384e-14 9.357622968838976819811e-14 3.442477108469535817877e-14",
    ),
    "tau=2,s0=0": (
        ZLPR(temperature=2),
        "2 -1 0.5",
        "1 0 0",
        "0.6835810723429980628863",
        "-0.01798620996209155802679 0.03511902695933972418784 0.7053845126982411583285",
    ),
    "tau=0.5,s0=-1 soft": (
        ZLPR(temperature=0.5, threshold=-1),
        "2 -1 0.5",
        "0.3 0.6 0.9",
        "4.592125596435366024704",
        "0.6286183026188771802414 -0.202567086198473589516 -0.15863136047027124693",
    ),
}

LOSS_RTOL = {"float64": 1e-13, "float32": 2e-6}
GRADIENT_ATOL = {"float64": 1e-14, "float32": 1e-6}  # times max(1, |gradient|)
PROBABILITY_RTOL = {"float64": 1e-13, "float32": 1e-5}
SMALLEST = {"float64": 1e-300, "float32": 1e-37}  # smaller numbers count as 0


def _table_rows(name):
    """Return the rows of the table below a name, as dictionaries."""
    lines = TABLE.split(f"\n{name}\n")[1].splitlines()
    stop = next((i for i, line in enumerate(lines) if not line.startswith("    ")), len(lines))
    rows = [dict(zip(("s", "t", "loss", "grad", "prob"), line.split(), strict=True)) for line in lines[:stop]]
    return [{key: value for key, value in row.items() if value != "-"} for row in rows]


@pytest.fixture(scope="session")
def reference_file(data_folder):
    """Contents of the file of all reference values, beside the folder of the real data; skip where it is absent."""
    file = data_folder.parent / "reference" / "losses.json"
    if not file.is_file():
        pytest.skip(f"no reference values at {file}")
    return json.loads(file.read_text())


def _column(rows, key, dtype):
    """Return a column of reference values as an array of shape (n_rows, 1)."""
    with np.errstate(over="ignore"):  # exp(100) is infinite in float32
        return np.array([[float(row[key])] for row in rows]).astype(dtype)


def _assert_gradient(actual, expected, dtype):
    """Compare with an absolute tolerance times max(1, |gradient|)."""
    finite = np.isfinite(expected)
    scale = np.maximum(1, np.abs(np.where(finite, expected, 1)))
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=GRADIENT_ATOL[dtype])


def _assert_labelwise(loss, rows, dtype):
    """Compare loss, both gradients and probabilities of a labelwise loss with reference rows."""
    scores, targets = (torch.from_numpy(_column(rows, key, dtype)) for key in ("s", "t"))
    expected, expected_gradient = _column(rows, "loss", dtype), _column(rows, "grad", dtype)
    leaf = scores.clone().requires_grad_()

    values, gradient = loss.per_label_and_gradient(scores, targets)
    followed = loss.per_label(leaf, targets)
    followed[torch.isfinite(followed)].sum().backward()

    for actual in (values.numpy(), followed.detach().numpy()):
        np.testing.assert_allclose(actual, expected, rtol=LOSS_RTOL[dtype], atol=SMALLEST[dtype])
    smooth = [not (row["s"] in ("-1", "1") and isinstance(loss, Hinge)) for row in rows]  # its corners
    finite = np.isfinite(expected[:, 0])
    _assert_gradient(gradient.numpy()[smooth], expected_gradient[smooth], dtype)
    _assert_gradient(leaf.grad.numpy()[smooth & finite], expected_gradient[smooth & finite], dtype)


def _assert_probabilities(loss, rows, dtype):
    """Compare the inverse link, on arrays and on tensors, with reference rows."""
    rows = [row for row in rows if "prob" in row]
    scores, expected = _column(rows, "s", dtype), _column(rows, "prob", np.float64)
    for actual in (loss.link.inverse(scores), loss.link.inverse(torch.from_numpy(scores)).numpy()):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, expected, rtol=PROBABILITY_RTOL[dtype], atol=SMALLEST[dtype])


def _assert_zlpr(loss, scores, targets, expected, gradient, dtype):
    """Compare loss and both gradients of one row with reference values."""
    scores, targets = (torch.tensor([[float(x) for x in xs]], dtype=getattr(torch, dtype)) for xs in (scores, targets))
    leaf = scores.clone().requires_grad_()
    values, closed = loss.values_and_gradient(scores, targets)
    followed = loss.per_sample(leaf, targets)
    followed.sum().backward()
    for actual in (values[0, 0].item(), followed.item()):
        np.testing.assert_allclose(actual, float(expected), rtol=LOSS_RTOL[dtype], atol=SMALLEST[dtype])
    for actual in (closed, leaf.grad):
        _assert_gradient(actual[0].numpy(), np.array([float(g) for g in gradient]), dtype)


by_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
by_kind = pytest.mark.parametrize("kind", ["hard", "soft"])
by_name = pytest.mark.parametrize("name", LOSS)


def _of_kind(rows, kind):
    return [row for row in rows if (row["t"] in ("0", "1")) == (kind == "hard")]


@by_dtype
@by_kind
@by_name
def test_loss_and_gradients_have_the_values_of_the_table(name, kind, dtype):
    """Loss, closed-form gradient and autograd agree with 50-digit values up to scores of 1e7."""
    _assert_labelwise(LOSS[name], _of_kind(_table_rows(name), kind), dtype)


@by_dtype
@pytest.mark.parametrize("name", [name for name, loss in LOSS.items() if loss.link is not None])
def test_probabilities_have_the_values_of_the_table(name, dtype):
    """The inverse link agrees with 50-digit values up to scores of 1e7."""
    _assert_probabilities(LOSS[name], _table_rows(name), dtype)


@by_dtype
@pytest.mark.parametrize("case", ZLPR_TABLE)
def test_zlpr_has_the_values_of_the_table(case, dtype):
    """Loss, closed-form gradient and autograd of ZLPR agree with 50-digit values."""
    loss, scores, targets, expected, gradient = ZLPR_TABLE[case]
    _assert_zlpr(loss, scores.split(), targets.split(), expected, gradient.split(), dtype)


@by_dtype
@by_kind
@by_name
def test_loss_and_gradients_have_the_values_of_the_file(name, kind, dtype, reference_file):
    """As with the table, for all values of the file."""
    rows = [row for row in reference_file["decomposable"] if row["loss_name"] == name]
    assert len(rows) == 45
    _assert_labelwise(LOSS[name], _of_kind(rows, kind), dtype)
    if LOSS[name].link is not None:
        _assert_probabilities(LOSS[name], rows, dtype)


@by_dtype
def test_zlpr_has_the_values_of_the_file(dtype, reference_file):
    """As with the table, for all values of the file, and sigmoid(2 tau (s - s0)) as the inverse link."""
    assert len(reference_file["zlpr"]) == 22
    for row in reference_file["zlpr"]:
        loss = ZLPR(temperature=float(row.get("tau", 1)), threshold=float(row.get("s0", 0)))
        _assert_zlpr(loss, row["s"], row["t"], row["loss"], row["grad"], dtype)
        probabilities = loss.link.inverse(np.array([float(s) for s in row["s"]], dtype=dtype))
        expected = np.array([float(p) for p in row["prob_sig2s"]])
        np.testing.assert_allclose(probabilities, expected, rtol=PROBABILITY_RTOL[dtype], atol=SMALLEST[dtype])


def test_every_loss_has_reference_values():
    """A loss that joins the package brings 50-digit values; the clamped BCE is compared with PyTorch's instead."""
    assert {type(loss) for loss in LOSS.values()} | {ZLPR, LOSSES["sigmoid_bce"]} == set(LOSSES.values())
