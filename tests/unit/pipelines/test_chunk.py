"""Documents to chunks: nothing lost, nothing too long, cut where a reader would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.chunk import Chunk, chunk
from pipelines.parse import Block, ParsedDocument
from vectoray.core.errors import InvalidRequest

# Few letters, many separators: the places where a cut can go wrong.
PROSE = st.text(alphabet="ab .!?\n。\u00a0", max_size=300)
HEADINGS = st.sampled_from([(), ("A",), ("A", "B")])
PAGES = st.sampled_from([None, 1, 2])


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    blocks = draw(st.lists(st.builds(Block, PROSE, HEADINGS, PAGES), max_size=6))
    kept = [Block(b.text.strip(), b.headings, b.page) for b in blocks if b.text.strip()]
    return ParsedDocument(None, tuple(kept))


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    max_chars = draw(st.integers(1, 80))
    return max_chars, draw(st.integers(0, max_chars - 1))


def visible(text: str) -> str:
    return "".join(text.split())


def document(*texts: str) -> ParsedDocument:
    return ParsedDocument(None, tuple(Block(text) for text in texts))


def texts(chunks: list[Chunk]) -> list[str]:
    return [piece.text for piece in chunks]


@settings(deadline=None)
@given(documents(), st.integers(1, 80))
def test_without_overlap_the_chunks_are_the_text(source: ParsedDocument, max_chars: int) -> None:
    chunks = chunk(source, max_chars=max_chars, overlap_chars=0)
    assert visible("".join(texts(chunks))) == visible("".join(block.text for block in source.blocks))


@settings(deadline=None)
@given(documents(), sizes())
def test_no_text_is_lost_and_order_is_kept(source: ParsedDocument, size: tuple[int, int]) -> None:
    max_chars, overlap_chars = size
    chunks = chunk(source, max_chars=max_chars, overlap_chars=overlap_chars)
    for section in {(block.headings, block.page) for block in source.blocks}:
        written = visible("".join(b.text for b in source.blocks if (b.headings, b.page) == section))
        # How much may have been read so far: repeated letters leave several ways to lay a chunk on the text.
        reached = {0}
        for piece in (visible(c.text) for c in chunks if (c.headings, c.page) == section):
            reached = {
                start + len(piece)
                for end in reached
                for start in range(max(0, end - overlap_chars), end + 1)
                if written.startswith(piece, start) and start + len(piece) > end
            }
        assert len(written) in reached


@settings(deadline=None)
@given(documents(), sizes())
def test_chunks_are_numbered_bounded_and_not_empty(source: ParsedDocument, size: tuple[int, int]) -> None:
    chunks = chunk(source, max_chars=size[0], overlap_chars=size[1])
    assert [piece.index for piece in chunks] == list(range(len(chunks)))
    assert all(0 < len(piece.text) <= size[0] for piece in chunks)
    assert all(piece.text == piece.text.strip() for piece in chunks)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab.", min_size=1, max_size=20), min_size=1), st.integers(0, 19))
def test_words_that_fit_are_never_cut(words: list[str], overlap_chars: int) -> None:
    chunks = chunk(document(" ".join(words)), max_chars=20, overlap_chars=overlap_chars)
    assert {word for piece in chunks for word in piece.text.split()} == set(words)


def test_a_longer_word_is_cut() -> None:
    assert texts(chunk(document("x" * 25), max_chars=10, overlap_chars=3)) == ["x" * 10, "x" * 10, "x" * 5]


def test_paragraphs_are_kept_whole_when_they_fit() -> None:
    one, two, three = "one, " * 6 + "end", "two. " * 6 + "end", "six. " * 6 + "end"
    pieces = texts(chunk(document(one, two, three), max_chars=80, overlap_chars=0))
    assert pieces == [f"{one}\n\n{two}", three]


def test_long_paragraphs_are_cut_between_sentences() -> None:
    pieces = texts(
        chunk(document("The first is here. The second is here. The third."), max_chars=30, overlap_chars=0)
    )
    assert pieces == ["The first is here.", "The second is here. The third."]


def test_a_chunk_begins_with_the_last_sentence_of_the_one_before() -> None:
    pieces = texts(
        chunk(
            document("Alpha beta gamma. Delta ends. Epsilon zeta eta theta."), max_chars=35, overlap_chars=14
        )
    )
    assert pieces == ["Alpha beta gamma. Delta ends.", "Delta ends. Epsilon zeta eta theta."]


def test_sections_and_pages_are_not_mixed() -> None:
    source = ParsedDocument(
        None,
        (
            Block("one", ("A",)),
            Block("two", ("A",)),
            Block("three", ("A", "B")),
            Block("four", ("A",), page=1),
            Block("five", ("A",), page=2),
        ),
    )
    assert chunk(source) == [
        Chunk(0, "one\n\ntwo", ("A",), None),
        Chunk(1, "three", ("A", "B"), None),
        Chunk(2, "four", ("A",), 1),
        Chunk(3, "five", ("A",), 2),
    ]


@pytest.mark.parametrize(("max_chars", "overlap_chars"), [(0, 0), (10, 10), (10, -1)])
def test_sizes_that_make_no_sense_are_refused(max_chars: int, overlap_chars: int) -> None:
    with pytest.raises(InvalidRequest, match="overlap"):
        chunk(document("text"), max_chars=max_chars, overlap_chars=overlap_chars)
