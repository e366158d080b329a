// What the benchmarks share: vectors, the same on every run, ids and medians.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace stele::bench {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  // Roughly normal, standard deviation about 1: components of real embeddings look like this.
  float NextFloat() {
    int64_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int64_t>(Next() >> 48) - 32768;
    return static_cast<float>(sum) / 37837.0f;
  }

 private:
  uint64_t state_;
};

inline std::vector<float> RandomVector(Random& random, uint32_t dimension) {
  std::vector<float> vector(dimension);
  for (float& component : vector) component = random.NextFloat();
  return vector;
}

inline std::string Float32Bytes(const std::vector<float>& vector) {
  return {reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)};
}

// The first rows of that stream of vectors, as float32 bytes. Loads of more rows begin again.
constexpr uint64_t kDistinctRows = 10'000;
inline std::vector<std::string> VectorBytes(uint64_t rows, uint32_t dimension) {
  Random random(1);
  std::vector<std::string> vectors;
  while (vectors.size() < std::min(rows, kDistinctRows)) {
    vectors.push_back(Float32Bytes(RandomVector(random, dimension)));
  }
  return vectors;
}

// The upper one of the two in the middle. REQUIRES: not empty.
inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// An id of the length of a UUID.
inline std::string UuidLike(uint64_t number) {
  std::string id = "00000000-0000-4000-8000-000000000000";
  for (size_t i = id.size(); number > 0; number /= 10)
    id[--i] = static_cast<char>('0' + number % 10);
  return id;
}

}  // namespace stele::bench
