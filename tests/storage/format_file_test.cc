// If these fail, a directory of another version or a damaged one is opened as if it were ours.
#include "storage/format_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "storage/bytes.h"
#include "storage/checksum.h"
#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::HasSubstr;

// The bytes with a checksum that fits what stands before it.
std::string Resealed(std::string bytes) {
  const size_t size = bytes.size() - kChecksumSize;
  const Checksum checksum = ComputeChecksum(std::string_view(bytes).substr(0, size));
  return bytes.substr(0, size) + std::string(checksum.data(), kChecksumSize);
}

TEST(FormatFileTest, BytesAndRoundTrip) {
  const DirectoryFormat format{TestLogId(), 0x1122334455667788};
  const std::string bytes = EncodeFormat(format);
  EXPECT_EQ(absl::BytesToHexString(bytes.substr(0, 36)),
            "5354454c45444952"
            "00000001"
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
            "1122334455667788");
  // Frozen: computed by a separate XXH3-128 over the 36 bytes above.
  EXPECT_EQ(absl::BytesToHexString(bytes.substr(36)), "6c3c68344056d1141c19830d01fe55d4");
  EXPECT_EQ(bytes.size(), 52u);
  EXPECT_EQ(*DecodeFormat(bytes, "x"), format);
}

TEST(FormatFileTest, DamageIsNamed) {
  const std::string bytes = EncodeFormat({TestLogId(), 5});
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    const auto format = DecodeFormat(changed, "/data/FORMAT");
    EXPECT_EQ(format.status().code(), absl::StatusCode::kDataLoss) << bit;
    EXPECT_THAT(std::string(format.status().message()), HasSubstr("/data/FORMAT"));
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeFormat(bytes.substr(0, size), "x").status().code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_FALSE(DecodeFormat(bytes + "x", "x").ok());
  // Sound by its checksum, but not the bytes of version 1.
  EXPECT_EQ(DecodeFormat(Resealed(bytes + "x"), "x").status().code(), absl::StatusCode::kDataLoss);
}

TEST(FormatFileTest, OtherVersionsAreNamedNotCalledDamaged) {
  for (const uint32_t version : {0u, 2u, 77u}) {
    std::string bytes = EncodeFormat({TestLogId(), 5});
    StoreBigEndian32(version, bytes.data() + 8);
    // A later version may be longer.
    const auto format = DecodeFormat(Resealed(bytes + std::string(version, 'x')), "/data/FORMAT");
    EXPECT_EQ(format.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(format.status().message()),
                HasSubstr("format version " + std::to_string(version)));
    EXPECT_THAT(std::string(format.status().message()), HasSubstr("reads version 1"));
  }
}

}  // namespace
}  // namespace stele::storage
