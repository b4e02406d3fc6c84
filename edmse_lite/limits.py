"""What a model is for, where it stops, and its licence: the words of its card.

They say of each model what is true of it: whether it draws its answer, and what was measured.

Chapter: 10 The compact score model, trained on a GPU.
"""

from __future__ import annotations

from typing import Any

PURPOSE = """\
Removes environmental noise from recordings of speech, 16 kHz. It was made to teach diffusion
speech enhancement on small machines: small enough to train and run on a CPU. It is the default
of `edmse enhance` and of `Enhancer.from_pretrained`. It is not made for hearing aids, for
evidence, for emergency calls, or for anything else where a wrong word does harm.
"""

EARLIER_PURPOSE = """\
An earlier stage in the training of *compact*. It is kept because the study of calls in chapter 14
was made with it. To enhance recordings, use *compact*.
"""

STUDY_PURPOSE = """\
One of the study models: a small network that was trained again for each design, with one budget,
to compare designs. It is not made to enhance: use the model *compact* for that.
"""

LIMITS = """\
* **Three training speakers**, reading telephone prompts in four languages (English and Spanish
  are one woman). Results on them say nothing about speakers in general; the unseen test has one
  more voice.
* Prompts are studio recordings without reverberation, coded as G.722 and Opus; noise is 93 field
  recordings of ten types. Rooms, babble of many people, music, clipping and telephone lines were
  not measured.
"""

GENERATIVE = """\
* It is a generative model: at low mixture SNR it can invent or swap sounds and whole words, and
  sound fluent doing so. No word error rate was measured for this card.
* Above 8 kHz there is nothing in its output. Each run draws diffusion noise, so two seeds differ.
"""

DISCRIMINATIVE = """\
* It is a discriminative model: to one recording it gives one answer, an estimate of the mean of
  the clean ones that fit it. Sounds and whole words can be lost or changed. No word error rate
  was measured for this card.
* Above 8 kHz there is nothing in its output. No diffusion noise reaches it, so two seeds agree.
"""

CLEAN = """\
* Its PESQ on already clean input is below 4.64, that of the input itself: see *Clean input*.
"""

NOT_CLEAN = """\
* What it makes of already clean input was not measured for this card.
"""

LICENCE = """\
Code: MIT. The weights were trained on recordings of which most are under CC BY-SA 3.0 and CC BY
3.0, the others CC0 or in the public domain. Whether weights are an adaptation of what they were
trained on is not settled. The careful reading is taken here: the weights are offered under
**CC BY-SA 4.0**, to which CC BY-SA 3.0 allows adaptations to move (its section 4b, "a later
version of this License"), with attribution to the authors in `edmse_lite/corpus/manifest.csv`.
Enhanced audio is an adaptation of the recording that you put in; its licence is that
recording's matter.
"""


def stops(config: dict[str, Any], clean: bool) -> str:
    """Limits of a model, in Markdown.

    Args:
        config: of its checkpoint; a network that does not see the state is discriminative.
        clean: whether the card has the section *Clean input*.

    Chapter: 10.
    """
    drawn = config["preconditioning"]["c_in"] != "predictive"
    return LIMITS + (GENERATIVE if drawn else DISCRIMINATIVE) + (CLEAN if clean else NOT_CLEAN)
