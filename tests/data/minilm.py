"""all-MiniLM-L6-v2 in numpy: text to 384 floats, without torch.

Six BERT layers, mean pooling over the tokens, L2 normalisation, as the model's own configuration
says (modules.json, 1_Pooling/config.json). Inference only. Deterministic on one machine; the last
bits depend on the BLAS that numpy uses, as with every floating-point implementation.

Needs numpy, safetensors and tokenizers, and a folder with the model's files.
"""

import json
import pathlib

import numpy as np
import safetensors.numpy
import tokenizers


def _gelu(x):
    """x * Phi(x), with erf from Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7)."""
    z = np.abs(x) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly = poly * t + np.float32(coefficient)
    erf = np.copysign(1 - poly * t * np.exp(-z * z), x)
    return 0.5 * x * (1 + erf)


class MiniLM:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sentence = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self._heads = config["num_attention_heads"]
        self._layers = config["num_hidden_layers"]
        self._epsilon = config["layer_norm_eps"]
        self._weights = safetensors.numpy.load_file(folder / "model.safetensors")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(sentence["max_seq_length"])

    def _linear(self, x, name):
        return x @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]

    def _layer_norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return x * self._weights[name + ".weight"] + self._weights[name + ".bias"]

    def _attention(self, x, name):
        tokens, width = x.shape
        per_head = width // self._heads

        def split(part):
            y = self._linear(x, f"{name}.self.{part}")
            return y.reshape(tokens, self._heads, per_head).transpose(1, 0, 2)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 2, 1) / np.float32(per_head**0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(1, 0, 2).reshape(tokens, width)
        return self._layer_norm(self._linear(mixed, name + ".output.dense") + x,
                                name + ".output.LayerNorm")

    def _encode_one(self, text):
        ids = np.array(self._tokenizer.encode(text).ids)
        embeddings = "embeddings."
        x = (self._weights[embeddings + "word_embeddings.weight"][ids]
             + self._weights[embeddings + "position_embeddings.weight"][: len(ids)]
             + self._weights[embeddings + "token_type_embeddings.weight"][0])
        x = self._layer_norm(x, embeddings + "LayerNorm")
        for layer in range(self._layers):
            name = f"encoder.layer.{layer}"
            x = self._attention(x, name + ".attention")
            hidden = _gelu(self._linear(x, name + ".intermediate.dense"))
            x = self._layer_norm(self._linear(hidden, name + ".output.dense") + x,
                                 name + ".output.LayerNorm")
        pooled = x.mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def encode(self, texts):
        """n texts to an n x 384 float32 array of unit vectors, one text at a time."""
        return np.stack([self._encode_one(text) for text in texts]).astype(np.float32)
