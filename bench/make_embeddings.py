#!/usr/bin/env python3
"""Makes embeddings like those of real models, as a raw little-endian float32 file.

    make_embeddings.py OUT.f32 ROWS DIMENSION [--queries N] [--anisotropy A] [--kind KIND] [--seed S]

Writes ROWS vectors and then N queries. A vector is a topic, a subtopic and a remainder, each Gaussian with
decaying eigenvalues, plus a common direction of weight A (.22: like MiniLM; .84: like ada-002), turned by a random
rotation and normalised. Kinds: `model` (that), `isotropic`, `outliers` (`model` with eight coordinates 20 times
as large), `unnormalised` (`model` times a norm of 8 to 12).
"""

import argparse

import numpy as np

TOPICS = 500
SUBTOPICS = 10
CHUNK = 65536


class Model:
    def __init__(self, dimension, anisotropy, seed):
        self.random = np.random.default_rng(seed)
        eigenvalues = (np.arange(dimension) + 12 * dimension / 384) ** -1.3
        self.scale = np.sqrt(eigenvalues / eigenvalues.sum()).astype(np.float32)
        rotation, _ = np.linalg.qr(self.random.standard_normal((dimension, dimension)))
        self.rotation = rotation.astype(np.float32)
        self.topics = self._part(TOPICS)
        self.subtopics = self._part(TOPICS * SUBTOPICS)
        common = self._part(1)
        self.common = common / np.linalg.norm(common)
        self.anisotropy = anisotropy

    def _part(self, rows):
        return self.random.standard_normal((rows, len(self.scale)), dtype=np.float32) * self.scale

    def make(self, rows, weights):
        topic = self.random.integers(0, TOPICS, rows)
        subtopic = topic * SUBTOPICS + self.random.integers(0, SUBTOPICS, rows)
        x = np.sqrt(weights[0]) * self.topics[topic] + np.sqrt(weights[1]) * self.subtopics[subtopic]
        x += np.sqrt(weights[2]) * self._part(rows)
        x = self.anisotropy * self.common + np.sqrt(1 - self.anisotropy**2) * x
        x = x @ self.rotation
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("rows", type=int)
    parser.add_argument("dimension", type=int)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--anisotropy", type=float, default=0.22)
    parser.add_argument("--kind", choices=("model", "isotropic", "outliers", "unnormalised"), default="model")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    model = Model(options.dimension, options.anisotropy, options.seed)

    def make(rows, weights):
        if options.kind == "isotropic":
            x = model.random.standard_normal((rows, options.dimension), dtype=np.float32)
            return x / np.linalg.norm(x, axis=1, keepdims=True)
        x = model.make(rows, weights)
        if options.kind == "outliers":
            x[:, :8] *= 20
            x /= np.linalg.norm(x, axis=1, keepdims=True)
        if options.kind == "unnormalised":
            x *= model.random.uniform(8, 12, (rows, 1))
        return x

    with open(options.out, "wb") as file:
        for begin in range(0, options.rows, CHUNK):
            rows = min(CHUNK, options.rows - begin)
            file.write(make(rows, (0.35, 0.25, 0.40)).astype("<f4").tobytes())
        file.write(make(options.queries, (0.30, 0.20, 0.50)).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
