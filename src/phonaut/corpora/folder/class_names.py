"""What the names in a user's folder were taken for: classes and speakers."""

from __future__ import annotations

from phonaut.corpora.protocols.division import Survey


def merged_spellings(survey: Survey) -> tuple[dict[str, str], list[str]]:
    """Classes that differ in case alone are one class, in the survey too.

    Returns:
        Spelling -> class for those that were merged, and a sentence for each class.
    """
    spellings: dict[str, list[str]] = {}
    for word in sorted(survey.words):
        spellings.setdefault(word.casefold(), []).append(word)
    merged: dict[str, str] = {}
    notes = []
    for folded, words in spellings.items():
        if len(words) > 1:
            merged |= dict.fromkeys(words, folded)
            n = sum(survey.words.pop(word) for word in words)
            survey.words[folded] = n
            notes.append(f"{' and '.join(words)} differ in case alone: they are one class, {folded}")
    return merged, notes


def how_speakers_are_known(survey: Survey, pattern: str | None, *, guessed: bool, anonymous: bool) -> str:
    """How it was found who speaks, in a sentence.

    Args:
        survey: of the cuts.
        pattern: the regular expression that read the speaker, if one did.
        guessed: nobody said who speaks.
        anonymous: and the guess was plainly wrong.
    """
    name, speaker = survey.examples[0], next(iter(survey.speakers), "")
    if anonymous:
        return "who speaks is not known: each recording counts as a speaker of its own"
    if guessed:
        return (
            f"the speaker is what stands before the first _ of the file name: {speaker} in {name}; "
            f"{len(survey.speakers)} speakers. If that is not who speaks: dataset.speaker_pattern=..."
        )
    how = f"dataset.speaker_pattern='{pattern}'" if pattern else "the table"
    alone = ", each with one recording" if survey.own_speakers() else ""
    return f"the speaker is read by {how}: {speaker} in {name}; {len(survey.speakers)} speakers{alone}"
