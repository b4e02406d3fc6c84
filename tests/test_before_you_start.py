"""Before you start: the self-test and its refreshers, in numbers, on the page and in a browser."""

import json
import math
import re
from collections.abc import Iterator

import pytest
import torch
from browser import check_fit, opened, served_bench
from close import close
from conftest import ROOT

import edmse_lite as se
from edmse_lite import selftest
from edmse_lite.figures import refreshers

NOTEBOOK = ROOT / "notebooks" / "00_before_you_start.ipynb"
BY_NAME = {question.name: question for question in selftest.QUESTIONS}


def right(name: str) -> str:
    question = BY_NAME[name]
    return question.choices[question.right][0]


# The questions


def test_there_are_ten_questions_with_a_word_on_each_choice() -> None:
    assert len(BY_NAME) == len(selftest.QUESTIONS) == 10
    for question in selftest.QUESTIONS:
        assert len(question.choices) == 3
        assert all(feedback.endswith(".") for _, feedback in question.choices)
    places = [question.right for question in selftest.QUESTIONS]
    assert all(2 <= places.count(k) <= 4 for k in range(3)), "the right answers stand anywhere"


def test_a_question_without_a_word_on_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="every choice needs a sentence"):
        selftest.Question("a", "b?", (("yes", "So it is."), ("no", "")), 0, "1 A")
    with pytest.raises(ValueError, match="right=2 is no index"):
        selftest.Question("a", "b?", (("yes", "So it is."), ("no", "Not so.")), 2, "1 A")


def test_each_question_has_its_refresher_on_the_page_with_picture_and_check() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    page = {cell["id"]: "".join(cell["source"]) for cell in cells}
    for number, question in enumerate(selftest.QUESTIONS, 1):
        text = page[f"r{number}"]
        assert f"({question.link[1:]})=\n## {question.refresher}\n" in text
        assert "assert " in page[f"check-{number}"] and "pages.Text(" in page[f"check-{number}"]
        assert re.search(r"^(figures|refreshers)\.\w+\(", page[f"see-{number}"], re.M)
        assert question.link in page["card"]


def test_the_right_answers_are_right() -> None:
    """Each answer that is a number, computed by another route than the refresher's."""
    assert right("complex-gaussian") == "1/2" and right("kl") == "1/2 nat"
    one = torch.randn(100_000, dtype=torch.complex128)
    close(one.real.square().mean(), 0.5, atol=0.02)
    p = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    q = torch.distributions.Normal(torch.tensor(1.0).double(), torch.tensor(1.0).double())
    close(torch.distributions.kl_divergence(p, q), 0.5)
    seen = torch.tensor(2.0, dtype=torch.float64)
    flat = se.MixtureOracle(torch.ones(1), torch.zeros(1), 1.0)
    close(flat(seen, seen, 1.0), float(right("bayes")), rtol=1e-9)
    assert "1/√n" in right("root-dt")
    x = 1.0
    for _ in range(10_000):
        x = x - 2 * (x - 3) * 5e-5
    close(x, float(re.search(r"[\d.]+", right("integrating-factor"))[0]), atol=0.01)
    outer = lambda x: -4 * (x - 0.3) / 0.5  # noqa: E731 - log p has the slope −4 in x̃
    close(outer(1.5) - outer(0.5), float(right("scaling").replace("−", "-")), rtol=1e-9)
    noisy = se.mix(torch.ones(1000), torch.ones(1000), 10.0) - 1
    close(float(1000 / noisy.square().sum()), 10.0, rtol=1e-4)
    assert right("decibel") == "10 dB" and right("overlap-add").startswith("If the squared")
    gain = se.Interval(0.20, -0.03, 0.43, 24, 24)
    assert se.verdict(gain, 0.05) == "inconclusive" and "do not decide" in right("bootstrap")
    assert right("score") == "(m − x)/v"


def test_pictures() -> None:
    figure = refreshers.complex_noise(torch.randn(2000, dtype=torch.complex128))
    assert [ax.get_xlabel() for ax in figure.axes] == ["Re ε", "Re ε"]
    times = torch.linspace(0, 1, 11)
    assert len(refreshers.random_walk(times, times[:, None] * torch.ones(4), times).axes) == 1
    interval = se.Interval(0.1, 0.0, 0.2, 24, 24)
    shown = refreshers.resampled_means(torch.randn(100).numpy(), interval, "gain").axes[0]
    assert shown.get_xlabel() == "gain" and math.isclose(shown.lines[0].get_xdata()[0], 0.1)


# In a browser


def test_the_plain_form_has_folded_answers() -> None:
    html = selftest.ten_questions().html
    assert html.count("<details>") == 10 and 'href="#r-kl"' in html


@pytest.fixture(scope="module")
def bench_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("selftest")
    with served_bench(root, ("selftest", dict(selftest.ten_questions().options))) as address:
        yield address


@pytest.fixture
def bench(browser, bench_address: str) -> Iterator:
    with opened(browser, bench_address, ".ed-selftest") as page:
        yield page


def choose(page, question: selftest.Question, index: int) -> str:
    box = page.locator(f'fieldset[data-name="{question.name}"]')
    box.locator("button").nth(index).click()
    return box.locator(".ed-feedback").inner_text()


def test_every_choice_of_every_question_is_answered_at_once(bench) -> None:
    for question in selftest.QUESTIONS:
        for index, (_, feedback) in enumerate(question.choices):
            said = choose(bench, question, index)
            assert feedback in said
            assert said.startswith("✓" if index == question.right else "✗")
            assert (question.refresher in said) == (index != question.right)


def test_the_first_answer_counts_and_stays(bench) -> None:
    first, second = selftest.QUESTIONS[:2]
    choose(bench, first, (first.right + 1) % 3)
    choose(bench, first, first.right)
    choose(bench, second, second.right)
    result = bench.locator(".ed-readout")
    assert "2 of 10 answered, 1 right. Worth three minutes: " in result.inner_text()
    assert result.locator("a").get_attribute("href") == first.link
    bench.reload()
    bench.wait_for_selector(".ed-selftest")
    assert "2 of 10 answered, 1 right" in bench.locator(".ed-readout").inner_text()
    bench.get_by_role("button", name="Start again").click()
    assert "0 of 10 answered" in bench.locator(".ed-readout").inner_text()


def test_all_right_says_so_on_a_phone(bench) -> None:
    for question in selftest.QUESTIONS:
        choose(bench, question, question.right)
    assert "10 right. You can start" in bench.locator(".ed-readout").inner_text()
    check_fit(bench, "button")
