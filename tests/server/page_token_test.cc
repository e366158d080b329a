// If this failed: a listing could go on at the wrong place, or with another question, unnoticed.
#include "server/page_token.h"

#include <gtest/gtest.h>

#include <set>

namespace stele::server {
namespace {

PageToken Example() {
  PageToken token;
  for (size_t i = 0; i < token.log_id.bytes.size(); ++i) {
    token.log_id.bytes[i] = static_cast<uint8_t>(200 + i);
  }
  token.index = 0x0123456789abcdef;
  token.arguments_hash = HashArguments("arguments");
  token.last = std::string("id\0\xff", 4);
  return token;
}

TEST(PageToken, ComesBack) {
  for (const std::string& last : {std::string(), std::string("a"), std::string(256, 'x')}) {
    PageToken token = Example();
    token.last = last;
    const std::string text = EncodePageToken(token);
    EXPECT_EQ(
        text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
        std::string::npos);
    const std::optional<PageToken> back = DecodePageToken(text);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->log_id, token.log_id);
    EXPECT_EQ(back->index, token.index);
    EXPECT_EQ(back->arguments_hash, token.arguments_hash);
    EXPECT_EQ(back->last, token.last);
  }
}

TEST(PageToken, EveryFieldIsInIt) {
  std::set<std::string> texts = {EncodePageToken(Example())};
  PageToken token = Example();
  token.log_id.bytes[15] ^= 1;
  texts.insert(EncodePageToken(token));
  token = Example();
  token.index ^= 1;
  texts.insert(EncodePageToken(token));
  token = Example();
  token.arguments_hash ^= 1;
  texts.insert(EncodePageToken(token));
  token = Example();
  token.last += "x";
  texts.insert(EncodePageToken(token));
  EXPECT_EQ(texts.size(), 5u);
}

TEST(PageToken, DamageIsFound) {
  const std::string text = EncodePageToken(Example());
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : std::string("ABZaz09-_=+/ ")) {
      std::string damaged = text;
      if (damaged[i] == c) continue;
      damaged[i] = c;
      EXPECT_FALSE(DecodePageToken(damaged).has_value()) << i << " " << c;
    }
    EXPECT_FALSE(DecodePageToken(text.substr(0, i)).has_value()) << i;
  }
  for (const char* more : {"A", "AA", "AAAA", "=", "==", "\n"}) {
    EXPECT_FALSE(DecodePageToken(text + more).has_value()) << more;
    EXPECT_FALSE(DecodePageToken(more + text).has_value()) << more;
  }
}

}  // namespace
}  // namespace stele::server
