#include "index/log_tree.h"

#include <bit>

#include "index/check.h"

namespace stele::index {

LogTree::LogTree(uint64_t size, std::vector<Hash> frontier)
    : size_(size), frontier_(std::move(frontier)) {
  Check(frontier_.size() == static_cast<size_t>(std::popcount(size)));
}

void LogTree::Append(const Hash& leaf) {
  frontier_.push_back(leaf);
  for (int joins = std::countr_one(size_); joins > 0; --joins) {
    const Hash right = frontier_.back();
    frontier_.pop_back();
    frontier_.back() = HashPair(Label::kLogNode, frontier_.back(), right);
  }
  ++size_;
}

Hash LogTree::Root() const {
  if (frontier_.empty()) return Hasher().Finish();
  Hash root = frontier_.back();
  for (size_t i = frontier_.size() - 1; i > 0; --i) {
    root = HashPair(Label::kLogNode, frontier_[i - 1], root);
  }
  return root;
}

}  // namespace stele::index
