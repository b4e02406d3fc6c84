"""Chapter 9: its scales by two routes, its checks against wrong answers, its explorable."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import torch
from browser import PHONE, by_node, drag, opened, served_bench
from close import close
from torch import Tensor

import edmse_lite as se
from edmse_lite import scales, trials
from edmse_lite.checks import check_preconditioning, check_sigma_data
from edmse_lite.widgets import EXPLORABLES

MODULE = EXPLORABLES / "preconditioning.mjs"
SDE = se.RichterOUVE()
SHIFTS = ("edm", "richter", "edm-scaled-shift")


def toy_pairs(count: int = 6, seed: int = 0) -> scales.Pairs:
    draw = torch.Generator().manual_seed(100 + seed)
    x0, n = 0.1 * torch.randn(2, count, 1, 32, 16, dtype=torch.complex64, generator=draw)
    return scales.Pairs(x0, x0 + n)


# Scales


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 1.7])
@pytest.mark.parametrize("design", [se.Preconditioning.edm(0.1), se.Preconditioning.richter(0.1)])
def test_measured_scales_are_the_predicted_ones(design: se.Preconditioning, sigma: float) -> None:
    draw = torch.Generator().manual_seed(7)
    r = 0.1 * torch.randn(200_000, dtype=torch.complex128, generator=draw)
    found = scales.measure_scales(design, SDE, sigma, r)
    expected = scales.predict_scales(design, SDE, sigma, rms=0.1)
    assert found.seen == pytest.approx(expected.seen, rel=0.01)
    assert found.made == pytest.approx(expected.made, rel=0.01)
    assert found.weight == expected.weight


def test_richters_targets_are_the_published_multiples() -> None:
    """t / (s sigma) at t = .01, .1, .5, 1, for the schedule that SGMSE+ was released with."""
    for t, target in ((0.01, 0.93), (0.1, 2.80), (0.5, 4.11), (1.0, 2.57)):
        found = scales.predict_scales(se.Preconditioning.richter(), SDE, float(SDE.sigma(t)), 0.1)
        assert found.made == pytest.approx(target, abs=0.006)
        assert found.weight == pytest.approx(target**-2, rel=0.01)


def test_edms_column_is_balanced_at_every_level_and_only_with_the_right_sigma_data() -> None:
    for sigma in (0.003, 0.1, 2.0):
        right = scales.predict_scales(se.Preconditioning.edm(0.2), SDE, sigma, rms=0.2)
        assert (right.seen, right.made, right.weight) == pytest.approx((1, 1, 1))
    wrong = scales.predict_scales(se.Preconditioning.edm(0.8), SDE, 0.2, rms=0.2)
    assert wrong.seen < 0.4


@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.5])
@pytest.mark.parametrize("c_shift", SHIFTS)
def test_the_input_with_its_shift_is_the_predicted_one(c_shift: str, sigma: float) -> None:
    design, pairs = se.Preconditioning.edm(0.1, c_shift=c_shift), toy_pairs(200)
    found = scales.measure_scales(design, SDE, sigma, pairs.r, y=pairs.y)
    about = {"y_rms": pairs.y_rms, "correlation": pairs.correlation}
    expected = scales.predict_scales(design, SDE, sigma, pairs.sigma_data, **about)
    assert found.seen == pytest.approx(expected.seen, rel=0.01)
    assert pairs.correlation == pytest.approx(-(0.5**0.5), abs=0.01)  # r = −n, y = x0 + n
    if c_shift == "edm-scaled-shift":  # c_in x_t / s, and x_t = x0 + (1 − s) n + s σ ε
        s = float(SDE.s(SDE.sigma_inv(torch.tensor(sigma, dtype=torch.float64))))
        power = 0.01 * (1 + (1 - s) ** 2) / s**2 + sigma**2
        assert expected.seen**2 == pytest.approx(power / (0.01 + sigma**2), rel=0.02)


def test_mixtures_are_repeatable_and_at_the_models_level() -> None:
    pairs = scales.mixtures(4, 0.5, seed=3, clips=3)
    again = scales.mixtures(4, 0.5, seed=3, clips=3)
    assert torch.equal(pairs.y, again.y) and pairs.y.shape == (4, 1, 256, 33)
    close(pairs.rms, (pairs.x0 - pairs.y).abs().square().mean((1, 2, 3)).sqrt())
    wave = se.Spectrogram().inverse(pairs.y, 8_000)
    assert se.level(wave).sub(1).abs().max() < 0.05


def write_folder(folder: Path, lengths: tuple[int, ...] = (24_000, 24_000, 6_000)) -> Path:
    """Pairs whose r is known: white noise of 0.05 on white speech of 0.1."""
    draw = torch.Generator().manual_seed(5)
    for i, length in enumerate(lengths):
        clean, noise = torch.randn(2, length, generator=draw).mul(torch.tensor([[0.1], [0.05]]))
        for side, wave in (("clean", clean), ("noisy", clean + noise)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / side / f"{i}.wav", wave.numpy(), se.SAMPLE_RATE, "FLOAT")
    return folder


def test_sigma_data_of_ones_own_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    found = scales.mixtures(8, 0.5, source=folder)
    assert found.y.shape == (8, 1, 256, 33)
    assert torch.equal(found.y, scales.mixtures(8, 0.5, source=str(folder)).y)
    power = (found.x0 - found.y).abs().square().mean()
    assert found.sigma_data == pytest.approx(float(power.sqrt()), rel=1e-6)
    waves = [torch.from_numpy(soundfile.read(folder / side / "0.wav", dtype="float32")[0])
             for side in ("clean", "noisy")]  # fmt: skip
    whole = [se.Spectrogram().forward(w[None] / se.level(waves[1])) for w in waves]
    expected = float((whole[0] - whole[1]).abs().square().mean().sqrt())
    assert scales.mixtures(40, 0.5, clips=1, seed=2, source=folder).sigma_data > 0
    assert found.sigma_data == pytest.approx(expected, rel=0.06)
    few = scales.mixtures(6, 0.25, clips=1, source=folder)
    assert few.y.shape[0] == 6


def test_what_is_wrong_with_ones_own_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder; expected clean/ and noisy/"):
        scales.mixtures(2, source=tmp_path)
    write_folder(tmp_path)
    (tmp_path / "noisy" / "1.wav").unlink()
    with pytest.raises(ValueError, match="1 has no partner"):
        scales.mixtures(2, source=tmp_path)
    with pytest.raises(FileNotFoundError):
        scales.mixtures(2, source=tmp_path / "manifest.csv")


def test_a_manifest_is_mixed_as_the_bundled_corpus_is() -> None:
    manifest = Path(se.__file__).parent / "corpus" / "manifest.csv"
    found, same = (scales.mixtures(2, 0.5, 3, 2, source) for source in (manifest, None))
    assert torch.equal(found.y, same.y)


# Trials


def test_the_tiny_network_has_twenty_thousand_parameters() -> None:
    assert sum(p.numel() for p in trials.TinyNetwork().parameters()) == 19_912
    assert "20 thousand parameters" in trials.TinyNetwork.__doc__


def test_a_constant_shift_is_absorbed_by_the_first_layer() -> None:
    plain = trials.TinyNetwork()
    shifted = trials.TinyNetwork()
    shifted.load_state_dict(plain.state_dict())
    shifted.stem = trials.absorb_shift(plain.stem, 1.0)
    pairs = toy_pairs()
    kinds = (se.Preconditioning.edm(0.1), se.Preconditioning.edm(0.1, c_shift="richter"))
    a, b = (
        se.ScoreModel(network, SDE, kind)(pairs.r, pairs.y, 0.3)
        for network, kind in zip((plain, shifted), kinds, strict=True)
    )
    close(a, b, rtol=1e-4, atol=1e-6)
    unaware = se.ScoreModel(plain, SDE, kinds[1])(pairs.r, pairs.y, 0.3)
    assert (unaware - a).abs().max() > 1e-3


def test_the_yardstick_is_one_for_the_best_blind_estimate() -> None:
    pairs = toy_pairs(40)
    shrink = se.ScoreModel(lambda u, label: 0 * u[:, :2], SDE, se.Preconditioning.edm(0.1))
    for sigma in (0.02, 0.1, 1.0):
        assert float(trials.yardstick(shrink, pairs, sigma).mean()) == pytest.approx(1, abs=0.05)


def test_a_fit_learns_and_repeats() -> None:
    pairs, design = toy_pairs(16), se.Preconditioning.edm(0.1)
    (found,) = trials.compare_fits([design], SDE, pairs, toy_pairs(8, 1), [0.5], [0], steps=60)
    again = trials.yardstick(trials.fit(design, SDE, pairs, 0, steps=60), toy_pairs(8, 1), 0.5)
    assert torch.equal(found[0, 0], again.double()) and float(again.mean()) < 1.0


def test_training_levels_are_drawn_from_what_their_name_says() -> None:
    draw = torch.Generator().manual_seed(1)
    found = trials.log_normal(-1.2, 0.8)(40_000, draw).log()
    assert float(found.mean()) == pytest.approx(-1.2, abs=0.02)
    assert float(found.std()) == pytest.approx(0.8, abs=0.02)
    t = SDE.sigma_inv(trials.uniform_time(SDE)(40_000, draw).double())
    for share in (0.1, 0.5, 0.9):
        assert float(t.quantile(share)) == pytest.approx(0.01 + 0.99 * share, abs=0.01)
    with pytest.raises(ValueError, match="std=0 must be > 0"):
        trials.log_normal(-1.2, 0)


def test_a_network_learns_the_levels_that_it_is_shown() -> None:
    """After the same steps each of two training distributions is the better one at its levels."""
    train, test, design = toy_pairs(16), toy_pairs(8, 1), se.Preconditioning.edm(0.1)
    kinds = [trials.log_normal(-4, 0.5), trials.log_normal(0.5, 0.2)]
    models = [trials.fit(design, SDE, train, 0, 120, levels=kind) for kind in kinds]
    low, high = trials.errors(models, test, (0.02, 1.6)).mean(-1)
    assert low[0] < high[0] - 0.02 and high[1] < low[1] - 0.1


def test_another_network_is_trained_when_asked() -> None:
    pairs, design = toy_pairs(4), se.Preconditioning.edm(0.1)
    made = trials.fit(design, SDE, pairs, 0, 1, network=lambda: trials.TinyNetwork(8))
    assert made.network.stem.out_channels == 8


@pytest.mark.parametrize("sigma", [0.02, 0.25, 1.5])
def test_input_and_first_layer_follow_from_the_coefficients(sigma: float) -> None:
    """Weights and bias of the first layer are uniform with variance 1/252: 84 inputs each."""
    pairs = toy_pairs()
    kinds = [se.Preconditioning.edm(0.1, c_shift=kind) for kind in SHIFTS]
    for kind in (*kinds, se.Preconditioning.richter()):
        found = trials.pulls(kind, SDE, pairs, sigma)
        about = (pairs.sigma_data, pairs.y_rms, pairs.correlation)
        seen = scales.predict_scales(kind, SDE, sigma, *about).seen
        assert found.seen == pytest.approx(seen, rel=0.02)
        power = (seen**2 + pairs.y_rms**2 + 1 / 21) / 12
        assert found.first == pytest.approx(power**0.5, rel=0.12)


def test_gradients_follow_the_scales_by_known_factors() -> None:
    """The scaled shift steepens the slope as the square of the input; the original's varies."""
    pairs, at = toy_pairs(), (0.02, 0.25)
    kinds = {kind: se.Preconditioning.edm(0.1, c_shift=kind) for kind in SHIFTS}
    kinds |= {"original": se.Preconditioning.richter()}
    found = {name: [trials.pulls(kind, SDE, pairs, s) for s in at] for name, kind in kinds.items()}
    plain, scaled = found["edm"][1], found["edm-scaled-shift"][1]
    assert scaled.slope / plain.slope == pytest.approx((scaled.seen / plain.seen) ** 2, rel=0.1)
    assert scaled.seen / plain.seen == pytest.approx(1.28, abs=0.02)
    fall = {name: low.slope / high.slope for name, (low, high) in found.items()}
    assert fall["edm"] == pytest.approx(1, abs=0.1) and fall["richter"] == pytest.approx(1, abs=0.1)
    assert fall["original"] == pytest.approx(6.8, rel=0.15)


def test_activations_are_those_of_the_layers() -> None:
    """First layer at one noise level, by hand: its weights on u and y, and its bias."""
    pairs, design = toy_pairs(), se.Preconditioning.edm(0.1)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = trials.TinyNetwork()
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(pairs.y.shape, dtype=pairs.y.dtype, generator=draw)
    u = (pairs.r + 0.3 * noise) / (0.1**2 + 0.3**2) ** 0.5
    inputs = torch.cat([u.real, u.imag, pairs.y.real, pairs.y.imag], dim=1)
    with torch.no_grad():
        first = network.stem(inputs)
        scale, shift = network.film(
            torch.tensor([[label := math.log(0.3) / 4, math.sin(label), math.cos(label)]])
        )[:, :, None, None].chunk(2, dim=1)
        middle = network.middle(torch.nn.functional.silu(first * (1 + scale) + shift))
    found = trials.pulls(design, SDE, pairs, 0.3)
    assert found.first == pytest.approx(float(first.square().mean().sqrt()), rel=1e-4)
    assert found.middle == pytest.approx(float(middle.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize(("kind", "constant"), [("edm", 0.0), ("richter", 1.0)])
def test_nothing_is_left_of_a_constant_shift(kind: str, constant: float) -> None:
    design = se.Preconditioning.edm(0.1, c_shift=kind)
    left, gains = scales.shift_left(design, SDE, toy_pairs().y, (0.02, 0.2, 1.5))
    assert left.max() < 1e-5 and float(gains[1, 1].real) == pytest.approx(constant, abs=1e-4)


def test_what_is_left_of_the_scaled_shift_is_its_distance_from_its_mean() -> None:
    design, y = se.Preconditioning.edm(0.1, c_shift="edm-scaled-shift"), toy_pairs().y
    sigmas = (0.02, 0.2, 1.5)
    left, gains = scales.shift_left(design, SDE, y, sigmas)
    shift = design.coefficients(torch.tensor(sigmas, dtype=torch.float64), SDE).c_shift
    close(left, (shift - shift.mean()).abs() * y.abs().square().mean().sqrt(), rtol=1e-3)
    assert float(gains[1, 1].real) == pytest.approx(float(shift.mean()), rel=1e-3)
    assert gains.abs().flatten().kthvalue(8).values < 1e-3 * shift.mean()


# Checks


def edm(sigma: float, data: float) -> tuple[float, float, float, float]:
    total = sigma**2 + data**2
    return data**2 / total, sigma * data / total**0.5, total**-0.5, total / (sigma * data) ** 2


@pytest.mark.parametrize("seed", range(4))
def test_the_right_coefficients_pass(seed: int) -> None:
    assert check_preconditioning(edm, seed).score == 5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, d: (1.0, s, (s * s + d * d) ** -0.5, s**-2), "look at c_skip"),
        (lambda s, d: (*edm(s, d)[:2], 1.0, edm(s, d)[3]), "c_in x̃ has rms"),
        (lambda s, d: (*edm(s, d)[:3], s**-2), "λ c_out² is"),
        (lambda s, d: (edm(s, d)[0], d, *edm(s, d)[2:]), "(r − c_skip x̃)/c_out has rms"),
        (lambda s, d: (edm(s, d)[0], 0.0, *edm(s, d)[2:]), "c_out is 0"),
        (lambda s, d: (*edm(s, d)[:2], (s + d) ** -1, edm(s, d)[3]), "c_in x̃ has rms"),
    ],
)
def test_wrong_coefficients_are_named(wrong, message: str) -> None:
    report = check_preconditioning(wrong, seed=1)
    assert report.score < 5 and message in str(report)


def power(x: Tensor) -> Tensor:
    return x.abs().square().mean()


def test_the_right_sigma_data_passes() -> None:
    assert check_sigma_data(lambda x0, y: float(power(x0 - y).sqrt())).score == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x0, y: power(x0).sqrt(), "measure x0 − y, not x0 or y"),
        (lambda x0, y: power(y).sqrt(), "measure x0 − y, not x0 or y"),
        (lambda x0, y: (x0 - y).real.square().mean().sqrt(), "1/√2"),
        (lambda x0, y: power(x0 - y), "take the root"),
        (lambda x0, y: scales.Pairs(x0, y).rms.mean(), "average the squares"),
        (lambda x0, y: (x0 - y).std(correction=0), "constant offset"),
    ],
)
def test_a_wrong_sigma_data_is_named(wrong, message: str) -> None:
    report = check_sigma_data(wrong, seed=2)
    assert report.score < 4 and message in str(report)


# The explorable


def test_the_explorable_computes_what_the_library_does() -> None:
    draw = random.Random(9)
    names = ("c_skip", "c_out", "c_in", "weight")
    asked = [
        {
            "sigma": 10 ** draw.uniform(-2, 0.2),
            "choice": {name: draw.choice(["edm", "richter"]) for name in names}
            | {"c_shift": draw.choice(SHIFTS)},
            "data": draw.uniform(0.02, 0.5), "stiffness": draw.uniform(0, 3),
            "rms": draw.uniform(0.02, 0.5),
            "y": {"rms": draw.uniform(0.02, 0.5), "correlation": draw.uniform(-1, 1)},
        }
        for _ in range(200)
    ]  # fmt: skip
    all_found, density = by_node(
        MODULE,
        "[asked.map((a) => m.scales(a.sigma, a.choice, a.data, a.stiffness, a.rms, a.y)),"
        " m.spread(grid, 1, 0.5, flat)]",
        asked=asked,
        grid=[-8 + i / 50 for i in range(801)],
        flat={"low": -1, "step": 0.02, "values": [1] * 100},
    )
    for a, found in zip(asked, all_found, strict=True):
        design = se.Preconditioning(**a["choice"], sigma_data=a["data"])
        sde = se.RichterOUVE(stiffness=a["stiffness"])
        about = (a["rms"], a["y"]["rms"], a["y"]["correlation"])
        expected = scales.predict_scales(design, sde, a["sigma"], *about)
        for name in ("seen", "made", "weight"):
            assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6), (name, a)
    assert sum(density) / 50 == pytest.approx(1, abs=1e-6)


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve one page with the explorable, from the sources."""
    root = tmp_path_factory.mktemp("bench9")
    density = {"low": -0.25, "step": 0.1, "values": [1, 2, 6, 2, 1]}
    y = {"rms": 0.15, "correlation": -0.6}
    options = {"density": density, "rms": 0.1, "tasks": ["One"], "y": y}
    with served_bench(root, ("preconditioning", options)) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-scales") as page:
        yield page
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def numbers(page) -> dict[str, float]:
    found = page.evaluate("({...document.querySelector('.ed-scales').dataset})")
    return {name: float(value) for name, value in found.items()}


def test_edms_column_stays_at_one_and_the_original_does_not(bench) -> None:
    for level in (-2, -1, 0, 0.24):
        drag(bench, "Level σ =", level)
        found = numbers(bench)
        assert [found[k] for k in ("seen", "made", "weight")] == pytest.approx([1, 1, 1])
    bench.get_by_text("More: other coefficients").click()
    bench.get_by_role("button", name="The original's column").click()
    drag(bench, "Level σ =", -0.6)
    found = numbers(bench)
    assert found["made"] == pytest.approx(4.11, abs=0.02) and found["weight"] < 0.07
    assert "target 4.1" in bench.locator(".ed-readout").inner_text()


def test_stiffness_changes_nothing_under_edms_column(bench) -> None:
    bench.get_by_text("More: other coefficients").click()
    before = numbers(bench)
    drag(bench, "Stiffness γ =", 3)
    assert numbers(bench) == before
    bench.get_by_role("button", name="c_in: EDM").click()
    seen = numbers(bench)["seen"]
    drag(bench, "Stiffness γ =", 0)
    assert numbers(bench)["seen"] != pytest.approx(seen, rel=0.01)
    before = numbers(bench)["made"]
    drag(bench, "σ_d =", 1)
    assert abs(numbers(bench)["made"] - before) > 0.01


def test_the_shift_moves_the_input_and_its_scaled_form_knows_the_stiffness(bench) -> None:
    bench.get_by_text("More: other coefficients").click()
    before, select = numbers(bench), bench.get_by_label("Shift of the input by")
    assert select.evaluate("node => [node.tagName, node.offsetHeight >= 44]") == ["SELECT", True]
    select.select_option("richter")
    shifted = numbers(bench)
    power = 1 + 0.15**2 - 2 * 0.6 * 0.1 * 0.15 / (0.1**2 + 0.2**2) ** 0.5  # r and y are opposed
    assert shifted["seen"] == pytest.approx(power**0.5, abs=1e-3)
    assert [shifted[k] for k in ("made", "weight")] == [before[k] for k in ("made", "weight")]
    drag(bench, "Stiffness γ =", 3)
    assert numbers(bench) == shifted
    select.select_option("edm-scaled-shift")
    stiff = numbers(bench)["seen"]
    drag(bench, "Stiffness γ =", 0)
    assert numbers(bench)["seen"] < 0.9 * stiff
    bench.get_by_role("button", name="The original's column").click()
    assert select.input_value() == "richter"
    bench.get_by_role("button", name="EDM's column").click()
    assert select.input_value() == "edm" and numbers(bench)["seen"] == pytest.approx(1)
