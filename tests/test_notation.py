"""Notation and glossary agree with the library, with the chapters and with each other."""

import dataclasses
import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import ROOT

import edmse_lite as se

NOTATION = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
HISTORY = (ROOT / "book" / "history.md").read_text(encoding="utf-8")
CHAPTERS = {
    int(path.name[:2]): path
    for path in sorted(ROOT.glob("notebooks/*.ipynb"))
    if path.name[0] == "0"
}
ENTRY = re.compile(r"^(?P<term>\S[^\n]*)\n  (?P<text>[^\n]+)$", re.M)
LINK = re.compile(r"\[([^\]]+)\]\((\.\./notebooks/(\w+)|history)\)$")

JARGON = """
bayes bootstrap churn compression conditional denoiser diffusion distortion drift enhance euler
gaussian heat heun interval kernel level loudness metric mixture network noise ode oracle order
perception phase posterior preconditioning probability recording sampler schedule score sde seed
shift si-sdr spectrogram step stiffness training tweedie unscale unshift wiener
""".split()


def entries() -> dict[str, str]:
    body = GLOSSARY.split("```{glossary}")[1].split("```")[0]
    return {found["term"]: found["text"] for found in ENTRY.finditer(body)}


def words(path: Path) -> str:
    """Return what a page says, code included, in lower case and without marks of emphasis."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", text.replace("*", "")).lower()


def outcomes(path: Path) -> str:
    """Return the outcomes of a chapter: the numbered list after "you will be able to"."""
    title = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    return title.split("be able to", 1)[1].lower()


def look_up(name: str) -> object:
    """Return the part of the library that a dotted name leads to; fields count."""
    found: object = se
    if importlib.util.find_spec(f"edmse_lite.{name.split('.')[0]}"):
        importlib.import_module(f"edmse_lite.{name.split('.')[0]}")
    for part in name.split("."):
        fields = getattr(found, "__dataclass_fields__", {})
        assert hasattr(found, part) or part in fields, f"se.{name}: {part} is gone"
        found = getattr(found, part, None)
    return found


# Notation


def test_every_code_name_of_the_notation_exists() -> None:
    rows = re.findall(r"^\| .*$", NOTATION, re.M)
    named = {name for row in rows for name in re.findall(r"`se\.([\w.]+)`", row)}
    assert len(named) > 60
    for name in named:
        look_up(name)


def plain(tex: str) -> str:
    """Return TeX without fonts, braces and spaces, in lower case: chapters differ in them."""
    fonts = r"\\(?:mathrm|text|bar|hat|tilde|overline)|[{}\s$\\]"
    return re.sub(fonts, "", tex).lower()


def symbols() -> list[tuple[str, str, str, str, str]]:
    """Rows that say which chapter brings a symbol in: symbol, meaning, code, function, link."""
    lines = re.findall(r"^\| .*\(\.\./notebooks/\w+\) \|$", NOTATION, re.M)
    rows = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len(rows) > 45 and all(len(row) == 5 for row in rows)
    return [tuple(row) for row in rows]


def test_every_symbol_stands_in_the_chapter_that_its_row_names() -> None:
    for symbol, _, code, function, link in symbols():
        number, page = re.fullmatch(r"\[(\d+)\]\(\.\./notebooks/(\w+)\)", link).groups()
        assert page.startswith(f"{int(number):02d}_"), symbol
        chapter = (ROOT / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8")
        cells = json.loads(chapter)["cells"]
        text = plain("\n".join("".join(cell["source"]) for cell in cells))
        names = [*re.findall(r"`([^`]+)`", code), *re.findall(r"`se\.([\w.]+)`", function)]
        known = [symbol, *symbol.split(", "), *(name.split(".")[-1] for name in names)]
        assert any(plain(name) in text for name in known if name), f"not in {page}: {symbol}"


def test_the_short_code_names_are_arguments_or_methods_of_what_stands_beside_them() -> None:
    """`sde.g(t)` beside `se.SDE.g`, `steps` beside `se.EDM.steps`, and so on."""
    found = [code for _, _, code, _, _ in symbols()]
    assert sum("`sde." in code for code in found) > 5
    for code in found:
        for method, argument in re.findall(r"`sde\.(\w+)(?:\((\w+)\))?`", code):
            assert hasattr(se.SDE, method), f"sde.{method}"
            if argument:
                assert argument in inspect.signature(getattr(se.SDE, method)).parameters
    call = inspect.signature(se.GaussianOracle.__call__).parameters
    assert list(call)[1:] == re.search(r"`denoiser\((.*?)\)`", NOTATION)[1].split(", ")


@pytest.mark.parametrize("owner", ["SDE", "Preconditioning", "EDM", "PC", "Step"])
def test_nothing_public_of_the_core_is_left_out(owner: str) -> None:
    kind = getattr(se, owner)
    fields = [field.name for field in dataclasses.fields(kind)] if owner != "SDE" else []
    methods = [name for name in vars(se.SDE) if name[0] != "_"] if owner == "SDE" else []
    known = {"grid", "index", "t", "sigma", "x_t", "t_eps", "last", "c_skip", "weight"}
    missing = [name for name in (*fields, *methods) if not re.search(rf"\b{name}\b", NOTATION)]
    assert not set(missing) - known, f"{owner}: {missing} are not in the notation"


def test_every_schedule_is_named() -> None:
    for name in ("VE", "VP", "OUVE", "RichterOUVE", "OUVP", "Cosine", "BBED", "BBCD", "BBLS"):
        assert f"`se.{name}`" in NOTATION


# Glossary


def test_the_glossary_is_in_order_and_has_no_term_twice() -> None:
    terms = list(entries())
    assert len(terms) > 80
    assert terms == sorted(terms, key=str.lower)
    assert len({term.lower() for term in terms}) == len(terms)


def test_each_term_has_one_sentence_and_leads_to_a_page_that_uses_it() -> None:
    faults = []
    for term, text in entries().items():
        link = LINK.search(text)
        assert link, f"{term}: no link at the end"
        sentence = text[: link.start()].strip()
        plain = re.sub(r"\$[^$]*\$", "", sentence).replace("et al.", "")
        if (
            not sentence.endswith(".")
            or plain.count(". ")
            or plain.count(".") != 1 + len(re.findall(r"\d\.\d", plain))
        ):
            faults.append(f"{term}: not one sentence: {sentence}")
        page = ROOT / "book" / "history.md" if link[2] == "history" else None
        if page is None:
            page = ROOT / "notebooks" / f"{link[3]}.ipynb"
            assert link[3].startswith(f"{int(link[1]):02d}_"), f"{term}: [{link[1]}] is {link[3]}"
        assert page.exists(), f"{term}: {page.name} is missing"
        stems = re.findall(r"\(([A-Z]+)\)", term) or [re.sub(r"(ing|ed|s|'s)$", "", term)]
        stems += [stem.replace(" ", "") for stem in stems]  # a class has no space in its name
        if not any(stem.lower() in words(page) for stem in stems):
            faults.append(f"{term}: {page.name} does not use the word")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("number", [n for n in CHAPTERS if 1 <= n <= 8])
def test_the_technical_words_of_a_chapter_s_outcomes_are_in_the_glossary(number: int) -> None:
    said = outcomes(CHAPTERS[number])
    asked = [word for word in JARGON if re.search(rf"\b{word}", said)]
    whole = " ".join([*entries(), *entries().values()]).lower()
    assert asked, "none of its words is known here"
    missing = [word for word in asked if word not in whole]
    assert not missing, f"chapter {number}: {missing}"


def test_the_words_that_trip_readers_up_are_told_apart() -> None:
    terms = entries()
    for pair in (
        ("environmental noise", "diffusion noise"),
        ("mixture SNR", "process SNR"),
    ):
        assert all(term in terms for term in pair)
    pattern = r"(?<!environmental )(?<!diffusion )(?<!musical )\bnoise\b(?! level)"
    bare = re.findall(pattern, " ".join(GLOSSARY.lower().split()))
    assert not bare, "say which noise"


# History


def test_every_entry_of_the_reading_list_has_the_doi_of_references_bib() -> None:
    entries_ = re.split(r"\n(?=@)", (ROOT / "references.bib").read_text().strip())
    by_key = {re.match(r"@\w+\{([\w-]+),", entry)[1]: entry for entry in entries_}
    listed = re.findall(
        r"^\* \{cite:t\}`([\w-]+)`, \[doi:([^\]]+)\]\(([^)]+)\)", HISTORY, re.M
    )
    assert len(listed) == len(re.findall(r"^\* ", HISTORY, re.M)) >= 25, "an entry has no DOI"
    for key, name, address in listed:
        written = re.search(r"\bdoi\s*= \{([^}]+)\}", by_key[key])
        assert written and written[1] == name, f"{key}: {name} is not what references.bib has"
        assert unquote(address) == f"https://doi.org/{name}"
        arxiv = re.search(r"\beprint\s*= \{([^}]+)\}", by_key[key])
        if name.startswith("10.48550"):
            assert name == f"10.48550/arXiv.{arxiv[1]}"
    assert len({key for key, *_ in listed}) == len(listed)


def test_every_work_of_the_history_is_in_references_bib() -> None:
    keys = set(re.findall(r"@\w+\{([\w-]+),", (ROOT / "references.bib").read_text()))
    cited = {
        key for group in re.findall(r"\{cite:\w\}`([^`]+)`", HISTORY) for key in group.split(",")
    }
    assert cited <= keys and len(cited) > 25
