// The one-shot context functions cost no allocation and no lookup per digest, which matters here:
// most digests are of 65 bytes. They are the same SHA-256 as EVP's.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "index/hash.h"

#include <openssl/sha.h>

#include <bit>
#include <vector>

namespace stele::index {
namespace {

SHA256_CTX* Context(unsigned char* storage) { return reinterpret_cast<SHA256_CTX*>(storage); }

}  // namespace

static_assert(sizeof(SHA256_CTX) <= 112);

Hasher::Hasher() { SHA256_Init(Context(context_)); }

Hasher::Hasher(Label label) : Hasher() { U8(static_cast<uint8_t>(label)); }

Hasher& Hasher::Bytes(std::string_view bytes) {
  SHA256_Update(Context(context_), bytes.data(), bytes.size());
  return *this;
}

Hasher& Hasher::U8(uint8_t value) {
  SHA256_Update(Context(context_), &value, 1);
  return *this;
}

Hasher& Hasher::U32(uint32_t value) {
  unsigned char bytes[4];
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
  SHA256_Update(Context(context_), bytes, sizeof(bytes));
  return *this;
}

Hasher& Hasher::U64(uint64_t value) {
  unsigned char bytes[8];
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(value >> (8 * i));
  SHA256_Update(Context(context_), bytes, sizeof(bytes));
  return *this;
}

Hasher& Hasher::Sized(std::string_view bytes) {
  return U32(static_cast<uint32_t>(bytes.size())).Bytes(bytes);
}

Hash Hasher::Finish() {
  Hash hash;
  SHA256_Final(hash.data(), Context(context_));
  return hash;
}

Hash HashPair(Label label, const Hash& left, const Hash& right) {
  return Hasher(label).Digest(left).Digest(right).Finish();
}

Hash MerkleRoot(Label node_label, std::span<const Hash> leaves) {
  // Complete subtrees of falling size, joined whenever two of one size meet.
  std::vector<Hash> stack;
  for (size_t i = 0; i < leaves.size(); ++i) {
    stack.push_back(leaves[i]);
    for (int joins = std::countr_one(i); joins > 0; --joins) {
      const Hash right = stack.back();
      stack.pop_back();
      stack.back() = HashPair(node_label, stack.back(), right);
    }
  }
  if (stack.empty()) return kZeroHash;
  Hash root = stack.back();
  for (size_t i = stack.size() - 1; i > 0; --i) root = HashPair(node_label, stack[i - 1], root);
  return root;
}

}  // namespace stele::index
