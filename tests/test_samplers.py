"""The samplers agree with the originals' equations, with closed forms and with their own count."""

import math

import pytest
import torch
from close import close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import edmse_lite as se
from edmse_lite import samplers

INF = float("inf")
SCHEDULES = [
    se.RichterOUVE(),
    se.OUVE(),
    se.VE(0.01, 1.0),
    se.OUVP(),
    se.VP(0.1, 8.0),
    se.Cosine(),
    se.BBED(),
    se.BBCD(),
    se.BBLS(),
]


def seed(number=0):
    return torch.Generator().manual_seed(number)


class Net(nn.Module):
    """A small fixed nonlinear network on (B, 4, F, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, inputs, noise_label):
        return torch.tanh(self.mix(inputs) + noise_label.reshape(-1, 1, 1, 1))


def model(sde, preconditioning=None, dtype=torch.float64):
    torch.manual_seed(7)
    return se.ScoreModel(Net().to(dtype), sde, preconditioning)


class Counted:
    """A denoiser that counts its calls and keeps the levels it was asked at."""

    def __init__(self, denoiser, sigma_range=None):
        self.denoiser, self.sigma_range, self.levels = denoiser, sigma_range, []

    def __call__(self, x_tilde, y, sigma):
        self.levels.append(float(sigma))
        return self.denoiser(x_tilde, y, sigma)


# --------------------------------------------------- the originals' loops, written out once more


def reference_edm(denoise, sigmas, noise, s_churn, s_min, s_max, s_noise):
    """Karras et al. 2022, algorithm 2, with t = σ and s = 1; it ends at σ = 0."""
    steps = len(sigmas)
    sigmas = [*sigmas, 0.0]
    x = sigmas[0] * noise()
    for i in range(steps):
        gamma = min(s_churn / steps, math.sqrt(2) - 1) if s_min <= sigmas[i] <= s_max else 0
        t_hat = sigmas[i] + gamma * sigmas[i]
        x_hat = x + math.sqrt(t_hat**2 - sigmas[i] ** 2) * s_noise * noise()
        d_cur = (x_hat - denoise(x_hat, t_hat)) / t_hat
        x = x_hat + (sigmas[i + 1] - t_hat) * d_cur
        if i < steps - 1:
            d_prime = (x - denoise(x, sigmas[i + 1])) / sigmas[i + 1]
            x = x_hat + (sigmas[i + 1] - t_hat) * (0.5 * d_cur + 0.5 * d_prime)
    return x


@pytest.mark.parametrize(
    "settings", [(0, 0, INF, 1), (40, 0.05, 50, 1.003), (INF, 0, INF, 1), (2, 0.02, 0.3, 0.9)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_edm_is_the_published_algorithm(settings, dtype):
    y = 0.3 * torch.randn(2, 1, 6, 5, dtype=dtype)
    sde = se.OUVE()
    denoiser = model(sde) if dtype.is_complex else se.GaussianOracle(0.3, 0.1)
    steps, low, high = 18, 0.002, 2.0
    root = [high ** (1 / 7) + i / 17 * (low ** (1 / 7) - high ** (1 / 7)) for i in range(steps)]
    generator = seed(1)
    with torch.no_grad():
        expected = reference_edm(
            lambda x, sigma: denoiser(x, y, sigma),
            [value**7 for value in root],
            lambda: torch.randn(y.shape, dtype=dtype, generator=generator),
            *settings,
        )
    sampler = se.EDM(steps, *settings, grid=se.grids.rho(low, high))
    out = sampler(denoiser, sde, y, generator=seed(1))
    close(out.x0_hat, y + expected, rtol=1e-12, atol=1e-13)
    assert out.nfe == 2 * steps - 1


def reference_pc(score, y, noise, steps, snr, t_eps, theta=1.5, low=0.05, high=0.5, corrections=1):
    """SGMSE's loop from its equations: OUVE, annealed Langevin first, then reverse diffusion."""
    log = math.log(high / low)

    def std(t):
        spread = math.exp(2 * (theta + log) * t) - 1
        return math.sqrt(low**2 * math.exp(-2 * theta * t) * spread * log / (theta + log))

    times = [1 + i * (t_eps - 1) / (steps - 1) for i in range(steps)]
    x = y + std(1.0) * noise()
    for i, t in enumerate(times):
        step = t - times[i + 1] if i < steps - 1 else t
        for _ in range(corrections):
            size = 2 * (snr * std(t)) ** 2
            gradient, z = score(x, t), noise()
            x = x + size * gradient + math.sqrt(2 * size) * z
        diffusion = low * (high / low) ** t * math.sqrt(2 * log)
        drift = theta * (y - x)
        mean = x - drift * step + diffusion**2 * score(x, t) * step
        x = mean + diffusion * math.sqrt(step) * noise()
    return mean


@pytest.mark.parametrize("corrections", [0, 1, 2])
@pytest.mark.parametrize("kind", ["network", "oracle"])
def test_pc_is_the_loop_of_sgmse(kind, corrections):
    """A foreign score in x_t: the whole trajectory agrees, so the way over x̃ loses nothing."""
    y = 0.3 * torch.randn(2, 1, 6, 5, dtype=torch.complex128)
    sde = se.RichterOUVE()
    if kind == "network":
        torch.manual_seed(7)
        net = Net().double()

        def score_fn(x, y, t):  # SGMSE's score: −F([x_t, y], ln t) / t
            raw = net(torch.cat([x.real, x.imag, y.real, y.imag], 1), t.log())
            return -torch.complex(raw[:, :1], raw[:, 1:]) / t.reshape(-1, 1, 1, 1)
    else:
        oracle = se.GaussianOracle(0.3, 0.1)

        def score_fn(x, y, t):
            return se.score(oracle, sde, x, y, t)

    generator = seed(4)
    with torch.no_grad():
        expected = reference_pc(
            lambda x, t: score_fn(x, y, torch.full((2,), t, dtype=torch.float64)),
            y,
            lambda: torch.randn(y.shape, dtype=y.dtype, generator=generator),
            steps=30,
            snr=0.5,
            t_eps=0.03,
            corrections=corrections,
        )
    sampler = se.PC(30, corrections, 0.5, 0.03, last="mean")
    out = sampler(se.ForeignScore(score_fn, sde), sde, y, generator=seed(4))
    close(out.x0_hat, expected, rtol=1e-11, atol=1e-12)
    assert out.nfe == 30 * (1 + corrections)
    if kind == "network":  # Richter's preconditioning of the same network is the same sampler
        richter = se.ScoreModel(net, sde, se.Preconditioning.richter())
        again = sampler(richter, sde, y, generator=seed(4))
        close(again.x0_hat, expected, rtol=1e-10, atol=1e-11)


def test_tweedie_replaces_the_last_predictor():
    """Same path, same calls; the output is y + D at t_eps instead of SGMSE's mean."""
    y = torch.randn(3, dtype=torch.complex128)
    sde, oracle = se.RichterOUVE(), se.GaussianOracle(0.3, 0.1)
    mean = se.PC(8, last="mean")(oracle, sde, y, generator=seed())
    tweedie = se.PC(8)(oracle, sde, y, generator=seed())
    assert torch.equal(mean.x_t, tweedie.x_t) and mean.nfe == tweedie.nfe == 16
    x_tilde = (tweedie.x_t - y) / sde.s(0.03)
    close(tweedie.x0_hat, y + oracle(x_tilde, y, sde.sigma(0.03)), rtol=1e-11)
    t, s = 0.03, sde.s(0.03)
    score = (tweedie.x0_hat - y - x_tilde) / (s * sde.sigma(t).square())
    x = tweedie.x_t
    expected = x - t * sde.f(t) * (x - y) + t * sde.g(t).square() * score
    close(mean.x0_hat, expected, rtol=1e-10)


# ------------------------------------------------------------------- one step, many, and counting


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(1, 12), s_churn=st.sampled_from([0.0, 0.7, 5.0, INF]))
def test_edm_counts_every_call(steps, s_churn):
    counted = Counted(se.GaussianOracle(0.3, 0.1))
    y = torch.ones(3, dtype=torch.float64)
    made = list(se.EDM(steps, s_churn).iterate(counted, se.OUVE(), y, generator=seed()))
    assert len(made) == steps
    assert [step.index for step in made] == list(range(steps))
    assert made[-1].nfe == len(counted.levels) == 2 * steps - 1
    assert [step.nfe for step in made[:-1]] == [2 * (i + 1) for i in range(steps - 1)]
    assert min(counted.levels) > 0


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 12),
    corrector_steps=st.integers(0, 3),
    last=st.sampled_from(["tweedie", "mean"]),
)
def test_pc_counts_every_call(steps, corrector_steps, last):
    counted = Counted(se.GaussianOracle(0.3, 0.1))
    y = torch.ones(3, dtype=torch.float64)
    sampler = se.PC(steps, corrector_steps, last=last)
    made = list(sampler.iterate(counted, se.OUVE(), y, generator=seed()))
    assert made[-1].nfe == len(counted.levels) == steps * (1 + corrector_steps)
    assert [step.nfe for step in made] == [(i + 1) * (1 + corrector_steps) for i in range(steps)]


def test_one_step_is_one_estimate():
    y = torch.randn(4, dtype=torch.complex128)
    oracle, sde = se.GaussianOracle(0.3, 0.1), se.OUVE()
    z = torch.randn(2, 4, dtype=torch.complex128, generator=seed())
    first = torch.randn(4, dtype=torch.complex128, generator=seed())
    out = se.EDM(1, 0)(oracle, sde, y, generator=seed())
    close(out.x0_hat, y + oracle(sde.sigma_1 * first, y, sde.sigma_1))
    assert out.nfe == 1 and out.index == 0 and z.shape == (2, 4)
    out = se.PC(1, 0)(oracle, sde, y, generator=seed())
    close(out.x0_hat, y + oracle(sde.sigma_1 * first, y, sde.sigma_1), rtol=1e-11)
    assert out.nfe == 1 and out.t == 1.0


@pytest.mark.parametrize("sampler", [se.EDM(5), se.EDM(5, 0), se.PC(5), se.PC(5, last="mean")])
@pytest.mark.parametrize("sde", SCHEDULES, ids=repr)
def test_step_says_what_was_asked_and_answered(sampler, sde):
    """x0_hat = y + D at x_t, sigma, t of the same step; the kernel's scaling ties them."""
    oracle = se.GaussianOracle(0.3, 0.1)
    y = torch.randn(50, dtype=torch.complex128)
    for step in sampler.iterate(oracle, sde, y, generator=seed()):
        close(sde.sigma(step.t), step.sigma, rtol=1e-9)
        if step.index == 4 and getattr(sampler, "last", "") == "mean":
            break
        x_tilde = (step.x_t - y) / sde.s(step.t)
        close(step.x0_hat, y + oracle(x_tilde, y, step.sigma), rtol=1e-7, atol=1e-9)
    assert torch.isfinite(step.x0_hat.abs()).all()
    with pytest.raises(AttributeError):
        step.nfe = 0


def test_call_is_the_last_of_iterate():
    y = torch.randn(4, dtype=torch.complex64)
    oracle, sde = se.GaussianOracle(0.3, 0.1), se.OUVE()
    for sampler in (se.EDM(4), se.PC(4)):
        *_, last = sampler.iterate(oracle, sde, y, generator=seed())
        out = sampler(oracle, sde, y, generator=seed())
        assert torch.equal(out.x0_hat, last.x0_hat) and out.nfe == last.nfe


# ------------------------------------------------------------------------------- randomness


def test_noise_is_drawn_once_a_use_in_a_fixed_order(monkeypatch):
    drawn = []
    draw = samplers.noise_like
    monkeypatch.setattr(samplers, "noise_like", lambda *a: drawn.append(1) or draw(*a))
    y, oracle, sde = torch.ones(2), se.GaussianOracle(0.3, 0.1), se.OUVE()
    for s_churn in (0, INF):
        drawn.clear()
        se.EDM(6, s_churn)(oracle, sde, y)
        assert len(drawn) == 1 + 6
    monkeypatch.setattr("edmse_lite.processes.noise_like", samplers.noise_like)
    for corrector_steps, last in ((0, "mean"), (2, "tweedie"), (1, "mean")):
        drawn.clear()
        se.PC(6, corrector_steps, last=last)(oracle, sde, y)
        assert len(drawn) == 1 + 6 * (1 + corrector_steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_type_follows_y_and_seed_decides(dtype):
    y = torch.randn(2, 1, 3, 4, dtype=dtype)
    oracle, sde = se.GaussianOracle(0.3, 0.1), se.OUVE()
    for sampler in (se.EDM(4), se.PC(4)):
        out = sampler(oracle, sde, y, generator=seed(1))
        assert out.x0_hat.dtype == out.x_t.dtype == dtype and out.x0_hat.shape == y.shape
        assert torch.equal(out.x0_hat, sampler(oracle, sde, y, generator=seed(1)).x0_hat)
        assert not torch.equal(out.x0_hat, sampler(oracle, sde, y, generator=seed(2)).x0_hat)


def test_no_gradient_is_kept():
    y = torch.randn(1, 1, 6, 5, dtype=torch.complex64)
    sde = se.OUVE()
    for sampler in (se.EDM(3), se.PC(3)):
        for step in sampler.iterate(model(sde, dtype=torch.float32), sde, y):
            assert not step.x0_hat.requires_grad and torch.is_grad_enabled()


# ---------------------------------------------------------------- stiffness, and the trained range


@pytest.mark.parametrize("s_churn", [0, INF])
def test_stiffness_changes_nothing(s_churn):
    """Where σ(t) does not depend on γ, the EDM sampler is bitwise the same for every γ."""
    y = 0.3 * torch.randn(1, 1, 6, 5, dtype=torch.complex64)
    for kind in (se.OUVE, se.OUVP, se.Cosine):
        for grid in (se.grids.rho(), se.grids.uniform_t()):
            outs = []
            for gamma in (0.0, 1.5, 4.0):
                sde = kind(stiffness=gamma)
                denoiser = model(sde, dtype=torch.float32)
                sampler = se.EDM(6, s_churn, grid=grid)
                outs.append(sampler(denoiser, sde, y, generator=seed()).x0_hat)
            assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


def test_schedule_changes_nothing_at_the_same_levels():
    y = 0.3 * torch.randn(1, 1, 6, 5, dtype=torch.complex128)
    sampler = se.EDM(6, grid=se.grids.rho(0.01, 0.09))
    outs = [sampler(model(sde), sde, y, generator=seed()).x0_hat for sde in SCHEDULES]
    assert all(torch.equal(outs[0], other) for other in outs[1:])


def test_stiffness_in_x_t_is_only_discretisation():
    """PC walks in x_t, where γ enters: the gap between two γ shrinks with the steps."""
    oracle = se.GaussianOracle(0.3, 0.1)
    y = torch.randn(4_000, dtype=torch.float64)
    gaps = []
    for steps in (20, 80, 320):
        outs = [
            se.PC(steps, 0, t_eps=0.01)(oracle, se.OUVE(gamma), y, generator=seed()).x0_hat
            for gamma in (0.0, 1.5)
        ]
        gaps.append((outs[0] - outs[1]).square().mean().sqrt().item())
    assert gaps[1] < gaps[0] / 2.5 and gaps[2] < gaps[1] / 2.5


def test_churn_never_leaves_the_trained_range():
    y = torch.ones(2, dtype=torch.float64)
    oracle, sde = se.GaussianOracle(0.3, 0.1), se.OUVE()
    free = Counted(oracle)
    se.EDM(6, grid=se.grids.rho(0.01, 0.4))(free, sde, y)
    close(max(free.levels), 0.4 * math.sqrt(2))
    for cap in (0.4, 0.45):
        capped = Counted(oracle, (0.01, cap))
        se.EDM(6, grid=se.grids.rho(0.01, 0.4))(capped, sde, y)
        close(max(capped.levels), cap)
    default = Counted(oracle, (0.02, 0.3))
    se.EDM(6)(default, sde, y)
    assert max(default.levels) == pytest.approx(0.3) and min(default.levels) == pytest.approx(0.02)
    richter = model(se.RichterOUVE(), se.Preconditioning.richter())
    asked = Counted(richter, richter.sigma_range)
    y = torch.ones(1, 1, 4, 4, dtype=torch.complex128)
    se.EDM(6)(asked, se.RichterOUVE(), y)
    assert max(asked.levels) <= se.RichterOUVE().sigma_1 * (1 + 1e-12)


# ------------------------------------------------------------------ orders (Gaussian oracle, exact)


def flow_errors(levels_of, step_counts):
    """Error of the flow from σ = 1 to 0.05, made with one rule on nested grids."""
    oracle = se.GaussianOracle(0.1, 0.05)
    y = torch.tensor([0.4, -0.3], dtype=torch.float64)
    return [levels_of(count, oracle, y) for count in step_counts]


def slope(errors):
    return [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]


def test_heun_is_of_order_two():
    """Nodes N = 2^k + 1 are nested; the last x_t is the flow's end, before the last estimate."""
    sde = se.VE(0.01, 2.0)

    def error(count, oracle, y):
        sampler = se.EDM(count + 1, 0, grid=se.grids.rho(0.05, 1.0))
        made = list(sampler.iterate(oracle, sde, y, generator=seed()))
        start, end = made[0].x_t - y, made[-1].x_t - y
        return (end - oracle.flow(start, y, 1.0, 0.05)).abs().max().item()

    orders = slope(flow_errors(error, (16, 32, 64, 128, 256)))
    assert orders[-1] == pytest.approx(2, abs=0.03) and orders[-2] == pytest.approx(2, abs=0.1)


def test_euler_is_of_order_one():
    def error(count, oracle, y):
        nodes = se.grids.rho(0.05, 1.0)(se.OUVE(), count + 1).tolist()
        start = x = torch.randn(2, dtype=torch.float64, generator=seed())
        for sigma, after in zip(nodes, nodes[1:], strict=False):
            x = x + (after - sigma) * (x - oracle(x, y, sigma)) / sigma
        return (x - oracle.flow(start, y, 1.0, 0.05)).abs().max().item()

    orders = slope(flow_errors(error, (64, 128, 256, 512)))
    assert orders[-1] == pytest.approx(1, abs=0.03)


def test_last_estimate_sets_a_floor():
    """With a fixed σ_min the output stays σ²/(2p) short of the flow to 0, however many steps."""
    oracle, sde = se.GaussianOracle(0.1, 0.05), se.VE(0.01, 2.0)
    y = torch.tensor([0.4], dtype=torch.float64)
    p = float(oracle.var)
    for sigma_min in (0.01, 0.02):
        sampler = se.EDM(400, 0, grid=se.grids.rho(sigma_min, 1.0))
        made = list(sampler.iterate(oracle, sde, y, generator=seed()))
        exact = oracle.flow(made[0].x_t - y, y, 1.0, 0.0) - oracle.mean(y)
        found = made[-1].x0_hat - y - oracle.mean(y)
        close(1 - found / exact, sigma_min**2 / (2 * p), rtol=0.05)


@pytest.mark.parametrize(("sde", "expected"), [(se.OUVE(), 1), (se.Cosine(), 2)], ids=repr)
def test_slope_of_the_whole_sampler_on_uniform_t(sde, expected):
    """The last estimate errs by σ²/(2p): 1/N where σ ∝ √t, and 1/N² where σ ∝ t."""
    oracle = se.GaussianOracle(0.1, 0.05)
    y = torch.tensor([0.4], dtype=torch.float64)
    errors = []
    for steps in (256, 512, 1024):
        sampler = se.EDM(steps, 0, grid=se.grids.uniform_t())
        made = list(sampler.iterate(oracle, sde, y, generator=seed()))
        start = (made[0].x_t - y) / sde.s(1.0)
        exact = oracle.flow(start, y, sde.sigma_1, 0.0)
        errors.append((made[-1].x0_hat - y - exact).abs().item())
    assert slope(errors)[-1] == pytest.approx(expected, abs=0.15)


# ------------------------------------------- mean and variance in closed form, for every sampler


def response(sampler, sde, oracle, y, draws, monkeypatch):
    """Mean and variance of the output, exactly: it is affine in its draws, so feed unit vectors.

    Item j of the batch gets 1 in draw j and 0 elsewhere, item ``draws`` gets only zeros.
    """
    queue = iter(torch.eye(draws + 1, dtype=torch.float64)[:draws])
    for module in ("edmse_lite.samplers", "edmse_lite.processes"):
        monkeypatch.setattr(f"{module}.noise_like", lambda x, generator=None: next(queue).to(x))
    out = sampler(oracle, sde, y.expand(draws + 1)).x0_hat - y
    assert next(queue, None) is None
    return out[-1], (out[:-1] - out[-1]).abs().square().sum()


def edm_moments(oracle, y, nodes, s_churn, s_noise):
    """Churn adds variance; Heun multiplies x̃ − m by one factor; D shrinks by p/(p+σ²)."""
    m, p = oracle.mean(y), oracle.var
    mean, variance = -m, torch.tensor(nodes[0] ** 2, dtype=torch.float64)  # of x̃ − m
    for i, sigma in enumerate(nodes):
        hat = sigma * (1 + min(s_churn / len(nodes), math.sqrt(2) - 1))
        variance = variance + (hat**2 - sigma**2) * s_noise**2
        if i == len(nodes) - 1:
            factor = p / (p + hat**2)
        else:
            after = nodes[i + 1]
            euler = 1 + (after - hat) * hat / (p + hat**2)
            slopes = hat / (p + hat**2) + after / (p + after**2) * euler
            factor = 1 + (after - hat) / 2 * slopes
        mean, variance = factor * mean, factor**2 * variance
    return m + mean, variance


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("s_churn", "s_noise"), [(0, 1), (3, 1.01), (INF, 1)])
def test_edm_moments(s_churn, s_noise, dtype, monkeypatch):
    oracle, sde = se.GaussianOracle(0.1, 0.05), se.OUVE()
    y = torch.tensor(0.4, dtype=dtype)
    nodes = se.grids.rho(0.01, 0.8)(sde, 9).tolist()
    sampler = se.EDM(9, s_churn, s_noise=s_noise, grid=se.grids.rho(0.01, 0.8))
    mean, variance = response(sampler, sde, oracle, y, 10, monkeypatch)
    expected_mean, expected_variance = edm_moments(oracle, y, nodes, s_churn, s_noise)
    close(mean, expected_mean)
    close(variance, expected_variance)


def pc_moments(oracle, sde, y, times, corrector_steps, snr, last):
    """Each move multiplies x − (y + s m) by a factor, shifts it, and adds its own variance."""
    m, p = oracle.mean(y), oracle.var
    mean = torch.zeros_like(m)  # of x_t − y
    variance = (sde.s(1.0) * sde.sigma(1.0)).square()
    for i, t in enumerate(times):
        s, sigma2, f, g2 = sde.s(t), sde.sigma(t).square(), sde.f(t), sde.g(t).square()
        marginal = s.square() * (p + sigma2)  # variance of x_t given y
        for _ in range(corrector_steps):
            size = 2 * snr**2 * s.square() * sigma2
            mean = mean + size * (s * m - mean) / marginal
            variance = (1 - size / marginal).square() * variance + 2 * size
        if i == len(times) - 1 and last == "tweedie":
            shrink = p / (p + sigma2)
            return m + shrink * (mean / s - m), (shrink / s).square() * variance
        step = t - times[i + 1] if i < len(times) - 1 else t
        mean = mean - f * mean * step + g2 * step * (s * m - mean) / marginal
        variance = (1 - f * step - g2 * step / marginal).square() * variance
        if i < len(times) - 1:
            variance = variance + g2 * step
    return mean, variance


@pytest.mark.parametrize("last", ["tweedie", "mean"])
@pytest.mark.parametrize("corrector_steps", [0, 1, 2])
@pytest.mark.parametrize("sde", [se.RichterOUVE(), se.OUVP(), se.Cosine(), se.BBED()], ids=repr)
def test_pc_moments(sde, corrector_steps, last, monkeypatch):
    oracle = se.GaussianOracle(0.1, 0.05)
    y = torch.tensor(0.4, dtype=torch.float64)
    times = torch.linspace(1, 0.03, 9, dtype=torch.float64).tolist()
    sampler = se.PC(9, corrector_steps, 0.4, last=last)
    draws = 1 + 9 * (1 + corrector_steps)
    mean, variance = response(sampler, sde, oracle, y, draws, monkeypatch)
    expected = pc_moments(oracle, sde, y, times, corrector_steps, 0.4, last)
    close(mean, expected[0], rtol=1e-9)
    close(variance, expected[1], rtol=1e-9)


@pytest.mark.parametrize("sampler", [se.EDM(64), se.PC(64, t_eps=0.01)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_many_steps_reach_the_posterior(sampler, dtype):
    """With a wide start and many steps, mean and variance come close to the exact posterior's."""
    oracle, sde = se.GaussianOracle(0.1, 0.05), se.RichterOUVE(sigma_max=1.0)
    y = torch.full((20_000,), 0.4, dtype=dtype)
    r = sampler(oracle, sde, y, generator=seed()).x0_hat - y
    close(r.mean().real, -0.4 / 3, rtol=0.05)
    close((r - r.mean()).abs().square().mean(), float(oracle.var), rtol=0.06)


# -------------------------------------------------------------------- the last step, and the toy


@pytest.mark.parametrize(
    ("sde", "removed"),
    [
        (se.RichterOUVE(), 0.63),
        (se.OUVE(), 0.58),
        (se.OUVP(), 0.88),
        (se.Cosine(), 1.006),
        (se.BBED(), 0.61),
        (se.BBCD(), 0.53),
        (se.BBLS(), 1.00),
    ],
)
def test_last_euler_step_in_t_leaves_noise(sde, removed):
    """σ'(dt) dt / σ(dt) of the flow at dt = 1/16; the reverse mean removes twice that."""
    t = torch.tensor(1 / 16, dtype=torch.float64)
    fraction = sde.g(t).square() / (2 * sde.s(t).square() * sde.sigma(t).square()) * t
    close(fraction, removed, rtol=0, atol=0.006)


def test_last_mean_of_sgmse_overshoots():
    """With a perfect denoiser the step .03 → 0 removes 1.118 of the noise; Tweedie removes all."""
    sde, r = se.RichterOUVE(), 0.2
    y = torch.zeros(200, dtype=torch.float64)
    perfect = lambda x_tilde, y, sigma: torch.full_like(x_tilde, r)  # noqa: E731
    made = {
        last: se.PC(2, 0, last=last)(perfect, sde, y, generator=seed())
        for last in ("mean", "tweedie")
    }
    close(made["tweedie"].x0_hat, y + r)
    s = float(sde.s(0.03))
    noise = made["mean"].x_t - s * r
    drift = (1 - float(sde.f(0.03)) * 0.03) * s * r  # where r itself goes
    removed = 1 - ((made["mean"].x0_hat - drift) / noise - -float(sde.f(0.03)) * 0.03)
    close(removed, torch.full_like(removed, 1.118), rtol=0, atol=0.001)


MU = 0.15 + 0.075j
TOY = se.MixtureOracle([0.7, 0.3], torch.tensor([MU, -MU]), 0.03)


@pytest.mark.parametrize(
    ("sigma_1", "ode", "churn"), [(0.03, 0.542, 0.550), (0.2, 0.602, 0.672), (1.7, 0.685, 0.706)]
)
def test_small_start_loses_the_weights_of_the_modes(sigma_1, ode, churn):
    """Share of draws in the heavier mode (truth 0.70), as a function of the start's level."""
    sde = se.VE(0.01, math.hypot(sigma_1, 0.01))
    y = torch.zeros(20_000, dtype=torch.complex128)
    for s_churn, expected in ((0, ode), (INF, churn)):
        sampler = se.EDM(32, s_churn, grid=se.grids.uniform_t())
        x = sampler(TOY, sde, y, generator=seed()).x0_hat
        share = ((x - MU).abs() < (x + MU).abs()).double().mean()
        close(share, expected, rtol=0, atol=0.018)


def test_cosine_flow_converges_to_the_right_map():
    """No clamp on β: halving the steps' size brings the toy's endpoints to one limit."""
    sde = se.Cosine()
    y = torch.zeros(500, dtype=torch.complex128)

    def ends(steps):
        sampler = se.EDM(steps, 0, grid=se.grids.rho(0.0005, sde.sigma_1))
        return sampler(TOY, sde, y, generator=seed()).x0_hat

    limit = ends(512)
    errors = [(ends(n) - limit).abs().square().mean().sqrt().item() for n in (32, 64, 128)]
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2] and errors[2] < 1e-3


# --------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: se.EDM(0), "steps=0"),
        (lambda: se.EDM(2.5), "whole number"),
        (lambda: se.EDM(4, s_churn=-1), "s_churn=-1"),
        (lambda: se.EDM(4, s_noise=-1.0), "s_noise=-1"),
        (lambda: se.EDM(4, s_noise=float("nan")), "s_noise=nan"),
        (lambda: se.EDM(4, s_min=2.0, s_max=1.0), "s_min=2.0 must lie between 0 and s_max=1.0"),
        (lambda: se.PC(4, corrector_steps=-1), "corrector_steps=-1"),
        (lambda: se.PC(4, corrector_steps=1.5), "corrector_steps=1.5 must be a whole number"),
        (lambda: se.PC(4, snr=-1.0), "snr=-1"),
        (lambda: se.PC(4, snr=float("nan")), "snr=nan"),
        (lambda: se.PC(4, t_eps=0.0), "t_eps=0.0"),
        (lambda: se.PC(4, last="euler"), "choose 'tweedie' or 'mean'"),
    ],
)
def test_wrong_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_settings_print_as_a_row():
    assert repr(se.PC(30)) == (
        "PC(steps=30, corrector_steps=1, snr=0.5, t_eps=0.03, last='tweedie')"
    )
    assert repr(se.EDM(8)).startswith("EDM(steps=8, s_churn=inf, s_min=0.0, s_max=inf, s_noise=1.0")
