"""Documents to chunks: nothing lost, nothing too long, cut where a reader would."""

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.chunk import Chunk, chunk
from pipelines.parse import Block, ParsedDocument
from tests.unit.pipelines.chunk.documents import document
from vectoray.core.ingestion import Chunking, ChunkingStrategy

FIXED, SENTENCE, PARAGRAPH = ChunkingStrategy
FAMILY = "👩‍👩‍👧‍👦"

# Few letters, many separators: the places where a cut can go wrong.
PIECES = (
    "a",
    "bc",
    "word",
    "x" * 60,
    ".",
    "!",
    "U.S.",
    " ",
    " ",
    "\n",
    "\n\n",
    "\u00a0",
    "。",
    "漢",
    "e\u0301",
    FAMILY,
)
PROSE = st.lists(st.sampled_from(PIECES), max_size=150).map("".join)
CHUNKINGS = st.builds(
    lambda strategy, size, overlap: Chunking(strategy, size, min(overlap, size - 1)),
    st.sampled_from(ChunkingStrategy),
    st.integers(50, 120),
    st.integers(0, 119),
)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    blocks = draw(
        st.lists(
            st.builds(Block, PROSE, st.sampled_from([(), ("A",), ("A", "B")]), st.sampled_from([None, 1, 2])),
            max_size=5,
        )
    )
    kept = [Block(b.text.strip(), b.headings, b.page) for b in blocks if b.text.strip()]
    return ParsedDocument(title=None, blocks=tuple(kept))


class Letters:
    """Counts a token for each letter, and two around the text."""

    max_tokens = 40

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len("".join(text.split())) + 2 for text in texts]


def texts(chunks: list[Chunk]) -> list[str]:
    return [piece.text for piece in chunks]


def cut(text: str, strategy: ChunkingStrategy, size: int = 50, overlap: int = 0) -> list[str]:
    return texts(chunk(document(text), Chunking(strategy, size, overlap)))


@settings(deadline=None)
@given(documents(), CHUNKINGS, st.sampled_from([None, Letters()]))
def test_offsets_give_the_text_and_only_space_lies_between(
    source: ParsedDocument, chunking: Chunking, tokens: Letters | None
) -> None:
    chunks = chunk(source, chunking, tokens=tokens)
    text, done = source.text, 0
    for index, piece in enumerate(chunks):
        assert piece.index == index
        assert piece.text == text[piece.start : piece.end] == piece.text.strip() != ""
        assert piece.end > done
        assert not text[done : piece.start].strip()
        done = piece.end
    assert not text[done:].strip()
    assert chunks == chunk(source, chunking, tokens=tokens)


@settings(deadline=None)
@given(documents(), CHUNKINGS)
def test_sizes_and_overlaps_are_kept(source: ParsedDocument, chunking: Chunking) -> None:
    chunks = chunk(source, chunking)
    assert all(len(piece.text) <= chunking.size_chars for piece in chunks)
    for before, after in pairwise(chunks):
        repeated = before.end - after.start
        assert repeated <= min(chunking.overlap_chars, chunking.size_chars // 2)
        assert repeated <= 0 or (before.headings, before.page) == (after.headings, after.page)


@settings(deadline=None)
@given(documents(), CHUNKINGS)
def test_no_chunk_has_more_tokens_than_the_model_reads(source: ParsedDocument, chunking: Chunking) -> None:
    tokens = Letters()
    chunks = chunk(source, chunking, tokens=tokens)
    assert all(count <= 40 for count in tokens.count_tokens([piece.embedded for piece in chunks]))


@settings(deadline=None)
@given(PROSE, CHUNKINGS)
def test_words_and_characters_that_fit_are_never_cut(text: str, chunking: Chunking) -> None:
    if not (text := text.strip()):
        return
    chunks = chunk(document(text), chunking)
    for pattern in (r"\S+", r"\X"):
        for match in regex.finditer(pattern, text):
            if len(match[0]) <= chunking.size_chars and not match[0].isspace():
                for end in (at for piece in chunks for at in (piece.start, piece.end)):
                    # Characters that end a sentence without space after them may be parted.
                    assert not match.start() < end < match.end() or "。" in match[0]


def test_a_chunk_of_fixed_size_is_as_full_as_words_let_it_be() -> None:
    assert cut("Half a sentence. " * 6, FIXED) == [
        "Half a sentence. Half a sentence. Half a sentence.",
        "Half a sentence. Half a sentence. Half a sentence.",
    ]
    assert cut("eleven char " * 9, FIXED)[0] == "eleven char eleven char eleven char eleven char"
    assert [len(piece) for piece in cut("x" * 120, FIXED)] == [50, 50, 20]


def test_a_longer_word_is_cut_between_characters_as_a_reader_sees_them() -> None:
    assert cut(FAMILY * 20, FIXED) == [FAMILY * 7, FAMILY * 7, FAMILY * 6]
    assert cut("🇩🇪" * 30, FIXED, 51) == ["🇩🇪" * 25, "🇩🇪" * 5]
    assert [len(piece) for piece in cut("a" + "\u0301" * 99, FIXED)] == [50, 50]


def test_sentences_are_kept_whole_and_packed() -> None:
    text = "The first is here. The second is here.\nThe third is a longer one. Four."
    assert cut(text, SENTENCE) == [
        "The first is here. The second is here.",
        "The third is a longer one. Four.",
    ]


def test_a_longer_sentence_is_cut_between_lines_then_words() -> None:
    assert cut("One line of a poem without any\nend that has more than fifty", SENTENCE) == [
        "One line of a poem without any",
        "end that has more than fifty",
    ]
    assert cut("So it goes on and on without any line or end at all until here", SENTENCE) == [
        "So it goes on and on without any line or end at",
        "all until here",
    ]


def test_paragraphs_are_kept_whole_and_packed() -> None:
    one, two, three = "one, " * 3 + "end", "two. " * 3 + "end", "six. " * 5 + "end"
    pieces = texts(chunk(document(one, two, three), Chunking(PARAGRAPH, 50, 0)))
    assert pieces == [f"{one}\n\n{two}", three]


def test_a_longer_paragraph_is_cut_between_sentences() -> None:
    text = "For example:\n\nA sentence of a long one. The second. The third of them. And the fourth."
    assert cut(text, PARAGRAPH) == [
        "For example:\n\nA sentence of a long one.",
        "The second. The third of them. And the fourth.",
    ]


def test_what_is_repeated_begins_with_a_sentence_if_one_fits_else_with_a_word() -> None:
    text = "Alpha beta gamma delta eps. Delta ends. Epsilon zeta eta theta iota."
    assert cut(text, SENTENCE, 50, 14) == [
        "Alpha beta gamma delta eps. Delta ends.",
        "Delta ends. Epsilon zeta eta theta iota.",
    ]
    text = "Alpha beta gamma delta epsilon zeta eta theta. Iota kappa lambda my ny xi."
    assert cut(text, SENTENCE, 50, 14)[1] == "eta theta. Iota kappa lambda my ny xi."


def test_what_is_repeated_leaves_room_for_what_follows() -> None:
    last = "This one sentence has fifty characters, not more.."
    assert len(last) == 50
    assert cut(f"A first one. A second. {last}", SENTENCE, 50, 20) == ["A first one. A second.", last]


def test_sections_and_pages_are_not_mixed() -> None:
    source = ParsedDocument(
        title=None,
        blocks=(
            Block("one", ("A",)),
            Block("two", ("A",)),
            Block("three", ("A", "B")),
            Block("four", ("A",), page=1),
            Block("five", ("A",), page=2),
        ),
    )
    assert chunk(source, Chunking()) == [
        Chunk(0, "one\n\ntwo", 0, 8, ("A",), None, "A\none\n\ntwo"),
        Chunk(1, "three", 10, 15, ("A", "B"), None, "A > B\nthree"),
        Chunk(2, "four", 17, 21, ("A",), 1, "A\nfour"),
        Chunk(3, "five", 23, 27, ("A",), 2, "A\nfive"),
    ]


def test_what_has_too_many_tokens_is_cut_into_parts_of_about_one_length() -> None:
    text = "Ten of it. " * 9
    chunks = chunk(document(text.strip()), Chunking(SENTENCE, 100, 0), tokens=Letters())
    assert texts(chunks) == [("Ten of it. " * 3).strip()] * 3


def test_the_models_limit_is_kept_to_the_token() -> None:
    # Two more are put around a text.
    fits, longer = (
        chunk(document("x" * count), Chunking(overlap_chars=0), tokens=Letters()) for count in (38, 39)
    )
    assert (len(fits), len(longer)) == (1, 2)


def test_what_a_chunk_repeats_is_no_chunk_of_its_own() -> None:
    # By size, the second chunk repeats the word at the end of the first. Each is cut again for its tokens.
    first, repeated, last = "a" * 30, "y" * 27, "b" * 36
    source = document(f"{first} {repeated} {last}")
    assert texts(chunk(source, Chunking(FIXED, 65, 32)))[1] == f"{repeated} {last}"
    assert texts(chunk(source, Chunking(FIXED, 65, 32), tokens=Letters())) == [first, repeated, last]


def test_headings_leave_half_of_what_the_model_reads_to_the_text() -> None:
    outer, inner, long = "o" * 12, "i" * 12, "l" * 30
    source = ParsedDocument(title=None, blocks=(Block("a", (outer, inner)), Block("b", (outer, long))))
    first, second = chunk(source, Chunking(), tokens=Letters())
    assert (first.headings, first.embedded) == ((outer, inner), f"{inner}\na")
    assert (second.headings, second.embedded) == ((outer, long), "b")


HOSTILE = {
    "one word": "x",
    "full stops": ".",
    "space": " ",
    "line ends": "\n",
    "a lone character per line": "a\n ",
    "ideographs": "漢",
    "families": FAMILY,
    "accents": "\u0301",
    "quotes": '."',
    "sentences": "A b. ",
}


@pytest.mark.slow
@pytest.mark.parametrize("repeated", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("strategy", ChunkingStrategy)
def test_ten_times_the_text_takes_about_ten_times_as_long(repeated: str, strategy: ChunkingStrategy) -> None:
    def seconds(chars: int) -> float:
        source = document("a" + repeated * (chars // len(repeated)) + "b")
        started_s = time.process_time()
        chunk(source, Chunking(strategy, 512, 511))
        return time.process_time() - started_s

    seconds(1000)
    # Quadratic time would make it a hundred times.
    assert seconds(300_000) <= 30 * max(seconds(30_000), 0.005)
