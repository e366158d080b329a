// An ordered map from byte strings (unsigned order) to payloads: one writer, any number of readers,
// no locks. A node is unlinked by the writer and freed only when no reader that could have seen it
// is left: the caller's duty. The order of keys is exact; the heights, from a seeded hash of the
// key, affect only speed.
//
// Invariants: a node's key and links below its height are set before it is reachable; the links of
// an unlinked node stay valid for readers that stand on it.
#pragma once

#include <bit>
#include <cstring>
#include <new>
#include <string_view>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "index/cell.h"
#include "index/check.h"

namespace stele::index {

template <typename Payload>
class SkipList {
 public:
  class Node {
   public:
    std::string_view key() const { return {KeyBytes(), key_size_}; }
    const Node* Next() const { return Links()[0].Get(); }
    Node* Next() { return Links()[0].Get(); }
    Payload payload;
    size_t memory_bytes() const { return Size(height_, key_size_); }

   private:
    friend class SkipList;
    using Link = Cell<Node*>;
    Node(unsigned height, std::string_view key)
        : key_size_(static_cast<uint32_t>(key.size())), height_(height) {
      for (unsigned level = 0; level < height; ++level) new (&Links()[level]) Link(nullptr);
      if (!key.empty()) std::memcpy(KeyBytes(), key.data(), key.size());
    }
    static size_t Size(unsigned height, size_t key_size) {
      return sizeof(Node) + height * sizeof(Link) + key_size;
    }
    Link* Links() { return reinterpret_cast<Link*>(this + 1); }
    const Link* Links() const { return reinterpret_cast<const Link*>(this + 1); }
    char* KeyBytes() { return reinterpret_cast<char*>(Links() + height_); }
    const char* KeyBytes() const { return reinterpret_cast<const char*>(Links() + height_); }

    uint32_t key_size_;
    uint32_t height_;
  };

  explicit SkipList(uint64_t seed) : seed_(seed), head_(Make(kHeightMax, {})) {}
  SkipList(const SkipList&) = delete;
  SkipList& operator=(const SkipList&) = delete;
  // Frees every linked node.
  ~SkipList() {
    for (Node* node = head_; node != nullptr;) {
      Node* next = node->Next();
      Free(node);
      node = next;
    }
  }

  const Node* First() const { return head_->Next(); }
  Node* First() { return head_->Next(); }
  // First node whose key is not below `key`.
  const Node* Seek(std::string_view key) const { return Locate(key, nullptr); }
  const Node* Find(std::string_view key) const {
    const Node* node = Locate(key, nullptr);
    return node != nullptr && node->key() == key ? node : nullptr;
  }
  Node* Find(std::string_view key) {
    return const_cast<Node*>(static_cast<const SkipList*>(this)->Find(key));
  }

  // Writer only. Makes a node that no reader sees before Link. REQUIRES: the key is not linked.
  Node* Prepare(std::string_view key) { return Make(HeightOf(key), key); }
  void Link(Node* node) {
    Node* previous[kHeightMax];
    Locate(node->key(), previous);
    for (unsigned level = 0; level < node->height_; ++level) {
      node->Links()[level].Set(previous[level]->Links()[level].Get());
    }
    for (unsigned level = 0; level < node->height_; ++level) {
      previous[level]->Links()[level].Set(node);
    }
  }
  // Writer only. The memory stays until Free.
  void Unlink(Node* node) {
    Node* previous[kHeightMax];
    Locate(node->key(), previous);
    for (unsigned level = 0; level < node->height_; ++level) {
      Check(previous[level]->Links()[level].Get() == node);
      previous[level]->Links()[level].Set(node->Links()[level].Get());
    }
  }
  static void Free(Node* node) {
    node->~Node();
    ::operator delete(node);
  }

 private:
  static constexpr unsigned kHeightMax = 16;

  static Node* Make(unsigned height, std::string_view key) {
    return new (::operator new(Node::Size(height, key.size()))) Node(height, key);
  }

  unsigned HeightOf(std::string_view key) const {
    const uint64_t hash = XXH3_64bits_withSeed(key.data(), key.size(), seed_);
    const unsigned height = 1 + static_cast<unsigned>(std::countr_zero(hash | (1ull << 62))) / 2;
    return height < kHeightMax ? height : kHeightMax;
  }

  // First node not below `key`; `previous`, if given, gets the last node below it on every level.
  Node* Locate(std::string_view key, Node** previous) const {
    Node* node = head_;
    Node* next = nullptr;
    for (unsigned level = kHeightMax; level-- > 0;) {
      for (next = node->Links()[level].Get(); next != nullptr && next->key() < key;
           next = node->Links()[level].Get()) {
        node = next;
      }
      if (previous != nullptr) previous[level] = node;
    }
    // Not node->Next(): the writer may have put a lower key there since.
    return next;
  }

  uint64_t seed_;
  Node* head_;
};

}  // namespace stele::index
