// If these fail, attributes are compared or encoded differently than documented, and a
// delete-by-filter in the log replays to another state.
#include "index/value.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>

namespace stele::index {
namespace {

ValueView View(const std::string& encoded) {
  Decoder decoder(encoded);
  return DecodeValue(decoder);
}

std::string Real(double value) { return *EncodeDouble(std::bit_cast<uint64_t>(value)); }
std::string Int(int64_t value) { return EncodeInt64(value); }

// -1, 0, 1, or 2 where the two do not compare. Antisymmetry is checked on the way.
int Order(const std::string& a, const std::string& b) {
  const auto to_int = [](std::optional<std::strong_ordering> order) {
    if (!order.has_value()) return 2;
    return *order < 0 ? -1 : *order > 0 ? 1 : 0;
  };
  const int forward = to_int(Compare(View(a), View(b)));
  const int backward = to_int(Compare(View(b), View(a)));
  EXPECT_EQ(backward, forward == 2 ? 2 : -forward);
  return forward;
}

TEST(CompareTest, IntegersAndDoublesCompareByExactValue) {
  constexpr int64_t kTwo53 = int64_t{1} << 53;
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr double kTwo63 = 9223372036854775808.0;
  constexpr double kBelowTwo63 = 9223372036854774784.0;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kSubnormal = std::numeric_limits<double>::denorm_min();
  struct Case {
    int64_t integer;
    double real;
    int order;
  };
  const Case cases[] = {
      {0, 0.0, 0},
      {0, -0.0, 0},
      {0, kSubnormal, -1},
      {0, -kSubnormal, 1},
      {1, kSubnormal, 1},
      {-1, -kSubnormal, -1},
      {1, 1.0, 0},
      {1, 1.5, -1},
      {2, 1.5, 1},
      {-1, -1.5, 1},
      {-2, -1.5, -1},
      {-1, -0.5, -1},
      {0, -0.5, 1},
      {0, 0.5, -1},
      {1, std::numeric_limits<double>::min(), 1},
      {kTwo53, 9007199254740992.0, 0},
      {kTwo53 + 1, 9007199254740992.0, 1},
      {kTwo53 - 1, 9007199254740992.0, -1},
      {kTwo53 + 1, 9007199254740994.0, -1},
      {-kTwo53 - 1, -9007199254740992.0, -1},
      {kMax, kTwo63, -1},
      {kMax, kBelowTwo63, 1},
      {kMax - 1023, kBelowTwo63, 0},
      {kMax - 1024, kBelowTwo63, -1},
      {kMin, -kTwo63, 0},
      {kMin + 1, -kTwo63, 1},
      {kMin, -kBelowTwo63, -1},
      {kMin, -9223372036854777856.0, 1},
      {kMax, kInfinity, -1},
      {kMin, -kInfinity, 1},
      {0, 1e300, -1},
      {0, -1e300, 1},
      {2251799813685248, 2251799813685248.5, -1},
      {2251799813685249, 2251799813685248.5, 1},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Order(Int(c.integer), Real(c.real)), c.order) << c.integer << " and " << c.real;
  }
}

TEST(CompareTest, DoublesAreInTheOrderOfTheirValues) {
  const double ascending[] = {-std::numeric_limits<double>::infinity(),
                              -1e308,
                              -1.0,
                              -std::numeric_limits<double>::min(),
                              -std::numeric_limits<double>::denorm_min(),
                              0.0,
                              std::numeric_limits<double>::denorm_min(),
                              std::numeric_limits<double>::min(),
                              1.0,
                              1e308,
                              std::numeric_limits<double>::infinity()};
  for (size_t i = 0; i < std::size(ascending); ++i) {
    for (size_t j = 0; j < std::size(ascending); ++j) {
      EXPECT_EQ(Order(Real(ascending[i]), Real(ascending[j])), i < j ? -1 : i > j ? 1 : 0);
    }
  }
}

TEST(CompareTest, OtherTypesCompareOnlyWithTheirOwn) {
  const std::string list = *EncodeList({});
  const std::string values[] = {EncodeBool(true),   Int(1), *EncodeString("1"), EncodeBytes("1"),
                                EncodeTimestamp(1), list};
  for (const std::string& a : values) {
    for (const std::string& b : values) {
      EXPECT_EQ(Order(a, b), &a == &b && &a != &values[5] ? 0 : 2);
    }
  }
  EXPECT_EQ(Order(EncodeBool(false), EncodeBool(true)), -1);
  EXPECT_EQ(Order(*EncodeString("a"), *EncodeString("ab")), -1);
  EXPECT_EQ(Order(*EncodeString("z"), *EncodeString("\xc3\xa9")), -1);  // unsigned bytes
  EXPECT_EQ(Order(EncodeBytes("\x7f"), EncodeBytes("\xff")), -1);
  EXPECT_EQ(Order(EncodeTimestamp(-1), EncodeTimestamp(0)), -1);
  // No Unicode normalisation: e-acute is not e and a combining accent.
  EXPECT_NE(Order(*EncodeString("\xc3\xa9"), *EncodeString("e\xcc\x81")), 0);
}

TEST(EncodeTest, NegativeZeroBecomesZeroAndNanHasNoValue) {
  EXPECT_EQ(Real(-0.0), Real(0.0));
  for (const uint64_t nan : {0x7ff0000000000001u, 0x7ff8000000000000u, 0x7fffffffffffffffu}) {
    EXPECT_FALSE(EncodeDouble(nan).has_value());
    EXPECT_FALSE(EncodeDouble(nan | uint64_t{1} << 63).has_value());
  }
  EXPECT_TRUE(EncodeDouble(0x7ff0000000000000u).has_value());
}

TEST(EncodeTest, ListsAreOfOneScalarType) {
  EXPECT_TRUE(EncodeList(std::vector<std::string>{Int(1), Int(2)}).has_value());
  EXPECT_FALSE(EncodeList(std::vector<std::string>{Int(1), Real(2)}).has_value());
  EXPECT_FALSE(EncodeList(std::vector<std::string>{*EncodeList({})}).has_value());
}

bool Decodes(const std::string& bytes) {
  Decoder decoder(bytes);
  DecodeValue(decoder);
  return decoder.Done();
}

TEST(DecodeTest, RefusesWhatTheEncodersDoNotWrite) {
  const std::string zeros(8, '\0');
  EXPECT_TRUE(Decodes("\x02" + zeros));
  EXPECT_FALSE(Decodes("\x08" + zeros));
  EXPECT_FALSE(Decodes(std::string(1, '\0')));
  EXPECT_FALSE(Decodes("\x01\x02"));
  EXPECT_FALSE(Decodes(std::string("\x03") + std::string(7, '\0') + "\x80"));  // -0
  EXPECT_FALSE(Decodes(std::string("\x03") + std::string(6, '\xff') + std::string("\xff\x7f")));
  EXPECT_FALSE(Decodes(std::string("\x04\x01\0\0\0\xff", 6)));  // not UTF-8
  EXPECT_TRUE(Decodes(std::string("\x05\x01\0\0\0\xff", 6)));
  EXPECT_TRUE(Decodes(std::string("\x07\0\0\0\0\0", 6)));
  EXPECT_FALSE(Decodes(std::string("\x07\x02\0\0\0\0", 6)));  // empty, with a type
  EXPECT_FALSE(Decodes(std::string("\x07\0\x01\0\0\0", 6)));  // elements without a type
  EXPECT_FALSE(Decodes(std::string("\x07\x07\x01\0\0\0\0\0\0\0\0", 11)));  // a list of lists
  EXPECT_FALSE(Decodes(std::string("\x07\x01\xff\xff\xff\xff\x01", 7)));   // count beyond the input
}

TEST(Utf8Test, AcceptsWhatUnicodeCallsWellFormed) {
  for (const char* good :
       {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xe0\xa0",
                          "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\xff", "\xc2\xc0", "\xe1\x80\xc0", "a\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(AttributesTest, AreSortedUniqueAndWithinTheLimits) {
  AttributeMap out;
  const AttributeMap good = {{"a", Int(1)}, {"b", Int(2)}};
  EXPECT_TRUE(DecodeAttributes(EncodeAttributes(good), &out));
  EXPECT_EQ(out, good);
  EXPECT_TRUE(DecodeAttributes("", &out));
  EXPECT_TRUE(out.empty());
  EXPECT_FALSE(DecodeAttributes(std::string(4, '\0'), &out)) << "no attributes are no bytes";
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes({{"b", Int(1)}, {"a", Int(2)}}), &out));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes({{"a", Int(1)}, {"a", Int(1)}}), &out));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes({{"", Int(1)}}), &out));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes({{"\xff", Int(1)}}), &out));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes(good) + '\0', &out));
  EXPECT_TRUE(DecodeAttributes(EncodeAttributes({{std::string(128, 'n'), Int(1)}}), &out));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes({{std::string(129, 'n'), Int(1)}}), &out));
  AttributeMap many;
  for (uint32_t i = 0; i < kAttributesMax; ++i) {
    many.emplace_back(std::to_string(1000 + i), EncodeBool(true));
  }
  EXPECT_TRUE(DecodeAttributes(EncodeAttributes(many), &out));
  many.emplace_back("9", EncodeBool(true));
  EXPECT_FALSE(DecodeAttributes(EncodeAttributes(many), &out));
  // Count, name length, name, type, text length: 14 bytes around the text.
  EXPECT_TRUE(DecodeAttributes(
      EncodeAttributes({{"a", EncodeBytes(std::string(kAttributesBytesMax - 14, 'x'))}}), &out));
  EXPECT_FALSE(DecodeAttributes(
      EncodeAttributes({{"a", EncodeBytes(std::string(kAttributesBytesMax - 13, 'x'))}}), &out));
}

}  // namespace
}  // namespace stele::index
