"""What a reader without JavaScript gets in place of an explorable.

Pages write `<div data-edmse-widget="…" data-edmse-options='…'></div>` once; for the player and the
prediction this puts plain HTML with the same content inside, which mount.mjs replaces.
"""

import html
import json
import re

EMPTY = re.compile(
    r"<div\b(?P<attributes>[^>]*\bdata-edmse-widget=\"(?P<name>[\w-]+)\"[^>]*)>\s*</div>"
)
OPTIONS = re.compile(r"data-edmse-options=(?:'([^']*)'|\"([^\"]*)\")")


def player(options: dict) -> str:
    """Return one native audio element a clip."""
    parts = [f"<p><strong>{html.escape(options.get('title', 'Listen'))}</strong></p>"]
    for clip in options.get("clips", []):
        text = {
            key: html.escape(clip.get(key, "")) for key in ("label", "src", "heard", "transcript")
        }
        words = f" Transcript: “{text['transcript']}”" if text["transcript"] else ""
        parts.append(f"<p>{text['label']}. {text['heard']}{words}</p>")
        parts.append(
            f'<audio controls preload="none" src="{text["src"]}" aria-label="{text["label"]}">'
            "</audio>"
        )
    return "".join(parts)


def predict(options: dict) -> str:
    """Return the question, its choices and a folded answer."""
    choices = options.get("choices", [])
    items = "".join(f"<li>{html.escape(choice['text'])}</li>" for choice in choices)
    answers = "".join(
        f"<li>{html.escape(choice['text'])}: {html.escape(choice.get('feedback', ''))}</li>"
        for choice in sorted(choices, key=lambda choice: not choice.get("correct"))
    )
    return (
        f"<p><strong>{html.escape(options.get('question', ''))}</strong></p><ul>{items}</ul>"
        f"<details><summary>Answer (the first is right)</summary><ul>{answers}</ul></details>"
    )


FALLBACKS = {"player": player, "predict": predict}


def add_fallbacks(body: str, page: str) -> str:
    """Fill every empty explorable of a page; a page with broken options does not build."""

    def fill(match: re.Match) -> str:
        found = OPTIONS.search(match["attributes"])
        raw = html.unescape(found[1] or found[2] or "{}") if found else "{}"
        try:
            options = json.loads(raw)
        except ValueError as error:
            name = match["name"]
            raise ValueError(
                f"{page}: the options of the explorable {name} are not JSON: {error}"
            ) from None
        make = FALLBACKS.get(match["name"])
        inside = make(options) if make else "<p>This picture moves; it needs JavaScript.</p>"
        return f"<div{match['attributes']}>{inside}</div>"

    return EMPTY.sub(fill, body)
