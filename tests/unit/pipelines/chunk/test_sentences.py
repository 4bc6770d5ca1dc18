"""Where sentences end, and where they only seem to."""

import pytest

from pipelines.chunk.sentences import sentences


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, 0, len(text))]


@pytest.mark.parametrize(
    "sentence",
    [
        "It costs 3.14 euros.",
        "He asked Dr. Smith and Mrs. Jones.",
        "The U.S. Navy met J. R. R. Tolkien, e.g. in Rome.",
        "It takes approx. five minutes etc. and more.",
        "See Fig. 3, vol. 2, pp. 14 and No. 5 of 3 Jan. 2024.",
        "“What?” he said.",
        "Version 1.2.3 of example.com is out.",
        "1. Turn it on.",
        "Wait ... and see.",
        "Das sind z. B. Äpfel, d. h. Obst, vgl. Abb. 3.",
        "Sra. García vive aquí.",
    ],
)
def test_abbreviations_numbers_and_quotes_do_not_end_a_sentence(sentence: str) -> None:
    assert parts(sentence) == [sentence]


@pytest.mark.parametrize(
    "whole",
    [
        ["One.", "Two!", "Three?!", "Four…", "Five"],
        ["He said “no.”", "(So she left.)", "The end."],
        ["That was in 1999.", "Then came 2000."],
        ["He said no.", "She said yes."],
        ["They moved to Example Inc.", "Later they left."],
        ["¿Qué es esto?", "¡Nada!", "Nada más."],
        ["Der Satz endet.", "Ärger beginnt."],
    ],
)
def test_a_mark_before_space_and_a_capital_ends_one(whole: list[str]) -> None:
    assert parts(" ".join(whole)) == whole


def test_marks_of_scripts_without_spaces_need_none_after_them() -> None:
    text = "你好。世界！「是吗？」\n好"  # noqa: RUF001
    assert parts(text) == ["你好。", "世界！", "「是吗？」", "好"]  # noqa: RUF001


def test_a_blank_line_ends_one_and_a_line_end_does_not() -> None:
    assert parts("A title \n \nA sentence\nof two lines. 1\n\nlower") == [
        "A title",
        "A sentence\nof two lines.",
        "1",
        "lower",
    ]


def test_the_number_of_an_item_belongs_to_it() -> None:
    assert parts("Steps.\n1. Open it.\n2. Close it.") == ["Steps.", "1. Open it.", "2. Close it."]
