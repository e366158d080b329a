// What breaks if these fail: a vector file is read as other numbers than were saved, a damaged or
// hostile file is imported or crashes the program, or a file is left half written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "client/cli/files.h"
#include "client/cli/json_values.h"
#include "client/cli/record_source.h"
#include "client/cli/resume_file.h"
#include "client/cli/vector_file.h"
#include "client/vector.h"

namespace stele::client::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    folder_ = std::filesystem::temp_directory_path() /
              absl::StrCat("stele-cli-files-", getpid(), "-",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~FilesTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::filesystem::path folder_;
};

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string Npy(const std::string& header, const std::string& data, char version = 1) {
  std::string text = header + "\n";
  std::string file = std::string("\x93NUMPY", 6) + version + '\0';
  for (int b = 0; b < (version == 1 ? 2 : 4); ++b) {
    file.push_back(static_cast<char>((text.size() >> (8 * b)) & 0xff));
  }
  return file + text + data;
}

std::string Header(const std::string& descr, const std::string& shape,
                   const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

std::vector<float> Float32Of(const v1::Vector& vector) {
  std::vector<float> values(vector.float32().size() / 4);
  std::memcpy(values.data(), vector.float32().data(), vector.float32().size());
  return values;
}

std::vector<double> Float64Of(const v1::Vector& vector) {
  std::vector<double> values(vector.float64().size() / 8);
  std::memcpy(values.data(), vector.float64().data(), vector.float64().size());
  return values;
}

TEST_F(FilesTest, NpyOfEveryType) {
  auto reader = VectorFileReader::Open(
      Write("a.npy", Npy(Header("<f4", "(2, 2)"), Bytes<float>({1, -2, 0.5, 4}))),
      VectorFileFormat::kNpy, false);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->row_count(), 2U);
  EXPECT_THAT(Float32Of(*reader->Next()), ElementsAre(1, -2));
  EXPECT_THAT(Float32Of(*reader->Next()), ElementsAre(0.5, 4));

  reader = VectorFileReader::Open(
      Write("b.npy", Npy(Header("<f8", "(1, 2)"), Bytes<double>({0.1, -1e300}), 2)),
      VectorFileFormat::kNpy, false);
  EXPECT_THAT(Float64Of(*reader->Next()), ElementsAre(0.1, -1e300));

  const std::string int_file =
      Write("c.npy", Npy(Header("<i4", "(1, 2)"), Bytes<int32_t>({INT32_MAX, -3}), 3));
  reader = VectorFileReader::Open(int_file, VectorFileFormat::kNpy, false);
  EXPECT_THAT(Float64Of(*reader->Next()), ElementsAre(2147483647.0, -3.0));
  reader = VectorFileReader::Open(int_file, VectorFileFormat::kNpy, true);
  EXPECT_EQ(reader->Next()->q16(), Bytes<int32_t>({INT32_MAX, -3}));

  reader = VectorFileReader::Open(
      Write("d.npy", Npy(Header(">f4", "(1, 1)"), std::string("\x3f\x80\0\0", 4))),
      VectorFileFormat::kNpy, false);
  EXPECT_THAT(Float32Of(*reader->Next()), ElementsAre(1.0F));
}

// Independent of the reader's bit arithmetic: the definition of binary16.
double Float16Value(uint32_t half) {
  const double sign = (half & 0x8000U) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((half >> 10) & 31);
  const double fraction = half & 1023U;
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024.0 + fraction, exponent - 25);
}

TEST_F(FilesTest, EveryFloat16IsWidenedExactly) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  auto reader = VectorFileReader::Open(Write("h.npy", Npy(Header("<f2", "(4, 16384)"), Bytes(all))),
                                       VectorFileFormat::kNpy, false);
  ASSERT_TRUE(reader.ok()) << reader.status();
  for (uint32_t row = 0; row < 4; ++row) {
    const std::vector<float> values = Float32Of(*reader->Next());
    for (uint32_t i = 0; i < values.size(); ++i) {
      const double expected = Float16Value(row * 16384 + i);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(values[i]));
      } else {
        EXPECT_EQ(static_cast<double>(values[i]), expected);
        EXPECT_EQ(std::signbit(values[i]), std::signbit(expected));
      }
    }
  }
}

TEST_F(FilesTest, NpyThatCannotBeMeantIsRefused) {
  const std::string four = Bytes<float>({1, 2, 3, 4});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"not an npy", ""},
      {"not an npy", "hello world, this is text"},
      {"not an npy", std::string("\x93NUMPY", 6)},
      {"version", Npy(Header("<f4", "(2, 2)"), four, 9)},
      {"longer than the file", std::string("\x93NUMPY\x01\0\xff\xff{", 11)},
      {"longer than the file", std::string("\x93NUMPY\x02\0\xff\xff\xff\xff{", 13)},
      {"malformed", Npy("", four)},
      {"malformed", Npy("{'descr': '<f4'}", four)},
      {"malformed", Npy(Header("<f4", "(2, 2)").substr(0, 30), four)},
      {"malformed", Npy(Header("<f4", "(99999999999999999999, 2)"), four)},
      {"malformed", Npy(Header("<f4", "(-2, 2)"), four)},
      {"2 (rows and components)", Npy(Header("<f4", "(4,)"), four)},
      {"2 (rows and components)", Npy(Header("<f4", "(1, 2, 2)"), four)},
      {"Fortran", Npy(Header("<f4", "(2, 2)", "True"), four)},
      {"not supported", Npy(Header("|O", "(2, 2)"), four)},
      {"not supported", Npy(Header("<c8", "(2, 1)"), four)},
      {"not supported", Npy(Header("<i8", "(2, 1)"), four)},
      {"not supported",
       Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}", four)},
      {"cut short", Npy(Header("<f4", "(2, 2)"), four.substr(1))},
      {"cut short", Npy(Header("<f4", "(2, 2)"), four + "x")},
      {"cut short", Npy(Header("<f4", "(3, 2)"), four)},
      // 2^62 rows of 4 bytes each wrap around to 0 in 64 bits.
      {"cut short", Npy(Header("<f4", "(4611686018427387904, 1)"), "")},
      {"components", Npy(Header("<f4", "(4, 0)"), "")},
      {"components", Npy(Header("<f4", "(0, 4611686018427387904)"), "")},
      {"components", Npy(Header("<f4", "(1, 32769)"), four)},
  };
  for (const auto& [expected, content] : cases) {
    const std::string path = Write("bad.npy", content);
    const auto reader = VectorFileReader::Open(path, VectorFileFormat::kNpy, false);
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr(expected)) << content;
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr("bad.npy"));
  }
  const auto raw = VectorFileReader::Open(Write("f.npy", Npy(Header("<f4", "(2, 2)"), four)),
                                          VectorFileFormat::kNpy, true);
  EXPECT_THAT(std::string(raw.status().message()), HasSubstr("int32"));
}

TEST_F(FilesTest, DamagedNpyNeverCrashes) {
  const std::string good = Npy(Header("<f4", "(2, 2)"), Bytes<float>({1, 2, 3, 4}));
  std::mt19937 random(7);
  int opened = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good;
    for (int i = 0; i < 1 + round % 3; ++i)
      bad[random() % bad.size()] = static_cast<char>(random());
    if (round % 4 == 0) bad.resize(random() % bad.size());
    auto reader =
        VectorFileReader::Open(Write("fuzz.npy", bad), VectorFileFormat::kNpy, round % 2 == 0);
    if (!reader.ok()) continue;
    ++opened;
    for (uint64_t row = 0; row < reader->row_count(); ++row) EXPECT_TRUE(reader->Next().ok());
  }
  EXPECT_GT(opened, 10);
}

TEST_F(FilesTest, Fvecs) {
  const std::string row = Bytes<int32_t>({2}) + Bytes<float>({1.5, -2});
  auto reader =
      VectorFileReader::Open(Write("a.fvecs", row + row), VectorFileFormat::kFvecs, false);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->row_count(), 2U);
  ASSERT_TRUE(reader->Skip(1).ok());
  EXPECT_THAT(Float32Of(*reader->Next()), ElementsAre(1.5, -2));
  EXPECT_FALSE(reader->Skip(1).ok());
  EXPECT_EQ(
      VectorFileReader::Open(Write("e.fvecs", ""), VectorFileFormat::kFvecs, false)->row_count(),
      0U);
  for (const std::string& bad : {row.substr(1), row + "x", std::string("\0\0\0\0", 4),
                                 std::string("\xff\xff\xff\xff", 4), std::string("ab")}) {
    EXPECT_FALSE(
        VectorFileReader::Open(Write("bad.fvecs", bad), VectorFileFormat::kFvecs, false).ok());
  }
  const std::string mixed = row + Bytes<int32_t>({1}) + Bytes<float>({1, 1});
  reader = VectorFileReader::Open(Write("mixed.fvecs", mixed), VectorFileFormat::kFvecs, false);
  ASSERT_TRUE(reader->Next().ok());
  EXPECT_THAT(std::string(reader->Next().status().message()), HasSubstr("row 1"));
}

TEST_F(FilesTest, PreambleIsReadBack) {
  const std::string preamble = NpyPreamble(ComponentType::kFloat64, 123456789012, 32768);
  EXPECT_EQ(preamble.size(), 128U);
  EXPECT_EQ(preamble.back(), '\n');
  const auto header = ParseNpyHeader(preamble.substr(10));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->row_count, 123456789012U);
  EXPECT_EQ(header->dimension, 32768U);
  EXPECT_EQ(header->type, ComponentType::kFloat64);
}

TEST_F(FilesTest, LinesOfEveryLength) {
  const std::string long_line(3 << 20, 'x');
  auto reader = LineReader::Open(Write("l.txt", "a\r\n\n" + long_line + "\nlast"));
  std::vector<size_t> lengths;
  std::string line;
  while (*reader->Next(&line)) lengths.push_back(line.size());
  EXPECT_THAT(lengths, ElementsAre(1U, 0U, long_line.size(), 4U));
  EXPECT_EQ(reader->line_number(), 4U);
  EXPECT_EQ(reader->bytes_read(), 3 + 1 + long_line.size() + 1 + 4);
  EXPECT_FALSE(*LineReader::Open(Write("empty.txt", ""))->Next(&line));
}

TEST_F(FilesTest, ALineWithoutEndIsRefused) {
  auto reader = LineReader::Open(Write("l.txt", std::string(66 << 20, 'x')));
  std::string line;
  EXPECT_THAT(std::string(reader->Next(&line).status().message()), HasSubstr("l.txt:1"));
}

TEST_F(FilesTest, FoldersAndMissingFilesAreErrors) {
  EXPECT_FALSE(LineReader::Open(folder_).ok());
  EXPECT_EQ(LineReader::Open(folder_ / "none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadFile(Write("f", "12345"), 4).ok());
  EXPECT_EQ(ReadFile(Write("f", "12345"), 5).value(), "12345");
}

TEST_F(FilesTest, HashIsSha256) {
  EXPECT_EQ(Hex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashFile(Write("f", "abc"), nullptr).value(), Sha256("abc"));
}

TEST_F(FilesTest, AnAtomicFileIsWholeOrAbsent) {
  const std::string path = folder_ / "out";
  {
    auto file = AtomicFile::Create(path);
    ASSERT_TRUE(file->Write("half").ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  {
    auto file = AtomicFile::Create(path);
    ASSERT_TRUE(file->Write("0000 and more").ok());
    ASSERT_TRUE(file->WriteAtBeginning("1234").ok());
    ASSERT_TRUE(file->Write("!").ok());
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(file->Commit().ok());
  }
  EXPECT_EQ(ReadFile(path, 100).value(), "1234 and more!");
  EXPECT_FALSE(AtomicFile::Create(folder_ / "none" / "out").ok());
}

std::vector<std::string> IdsOf(RecordSource* source) {
  std::vector<std::string> ids;
  for (;;) {
    const auto record = source->Next();
    if (!record.ok()) return {std::string(record.status().message())};
    if (!record->has_value()) return ids;
    ids.push_back((*record)->id());
  }
}

TEST_F(FilesTest, JsonlSkipsBlankLinesAndNamesTheLine) {
  const std::string path = Write("a.jsonl",
                                 "{\"id\":\"a\",\"vector\":[1]}\n\n"
                                 "{\"id\":\"b\",\"vector\":[1]}\n   \n{\"id\":\"c\"}\n");
  auto source = RecordSource::Open({path, "", "", 0, false});
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE((*source)->Skip(1).ok());
  EXPECT_EQ((**(*source)->Next()).id(), "b");
  EXPECT_EQ((*source)->Where(), path + ":3");
  EXPECT_THAT(std::string((*source)->Next().status().message()), HasSubstr("a.jsonl:5"));
}

TEST_F(FilesTest, IdsFromEveryKindOfFile) {
  const std::string npy = Write("a.npy", Npy(Header("<f4", "(3, 1)"), Bytes<float>({1, 2, 3})));
  EXPECT_THAT(IdsOf(RecordSource::Open({npy, "", "", 10, false})->get()),
              ElementsAre("10", "11", "12"));
  const std::string text = Write("ids.txt", "x\ny\nz\n");
  EXPECT_THAT(IdsOf(RecordSource::Open({npy, "", text, 0, false})->get()),
              ElementsAre("x", "y", "z"));
  const std::string jsonl = Write("ids.jsonl",
                                  "{\"id\":\"p\"}\n{\"id\":\"q\",\"attributes\":{\"n\":1},"
                                  "\"document\":\"d\"}\n{\"id\":\"r\"}\n");
  auto source = RecordSource::Open({npy, "", jsonl, 0, false});
  ASSERT_TRUE((*source)->Skip(1).ok());
  const auto record = (*source)->Next();
  EXPECT_EQ((*record)->id(), "q");
  EXPECT_EQ((*record)->attributes().at("n").int64_value(), 1);
  EXPECT_EQ((*record)->document(), "d");
  EXPECT_THAT(Float32Of((*record)->vector()), ElementsAre(2.0F));
}

TEST_F(FilesTest, IdsThatDoNotFitAreRefusedBeforeAnythingIsSent) {
  const std::string npy = Write("a.npy", Npy(Header("<f4", "(2, 1)"), Bytes<float>({1, 2})));
  for (const char* ids : {"x\n", "x\ny\nz\n", "x\n\n"}) {
    EXPECT_FALSE(RecordSource::Open({npy, "", Write("ids.txt", ids), 0, false}).ok()) << ids;
  }
  const std::string with_vector =
      Write("v.jsonl", "{\"id\":\"a\",\"vector\":[1]}\n{\"id\":\"b\"}\n");
  EXPECT_FALSE(RecordSource::Open({npy, "", with_vector, 0, false}).ok());
  EXPECT_FALSE(RecordSource::Open({Write("a.jsonl", ""), "", with_vector, 0, false}).ok());
}

TEST_F(FilesTest, FormatByExtension) {
  EXPECT_EQ(FormatOf("a.jsonl", "").value(), "jsonl");
  EXPECT_EQ(FormatOf("a.npy", "fvecs").value(), "fvecs");
  EXPECT_FALSE(FormatOf("npy", "").ok());
  EXPECT_FALSE(FormatOf("a.json", "").ok());
}

TEST_F(FilesTest, ResumeFileComesBackAndForeignOnesAreRefused) {
  const std::string path = folder_ / "p";
  EXPECT_FALSE(LoadResumeFile(path)->has_value());
  const ResumeState state{"abc", 10, 20, "n", 30, 40, 50};
  ASSERT_TRUE(SaveResumeFile(path, state).ok());
  const auto loaded = LoadResumeFile(path);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ((*loaded)->identity, "abc");
  EXPECT_EQ((*loaded)->batch_rows, 10U);
  EXPECT_EQ((*loaded)->batch_bytes, 20U);
  EXPECT_EQ((*loaded)->nonce, "n");
  EXPECT_EQ((*loaded)->acknowledged_rows, 30U);
  EXPECT_EQ((*loaded)->sent_rows, 40U);
  EXPECT_EQ((*loaded)->known_index, 50U);
  for (const char* bad : {"", "{}", "[]", "{\"format\": 2}", "garbage"}) {
    EXPECT_FALSE(LoadResumeFile(Write("bad", bad)).ok()) << bad;
  }
  // What a killed run left goes with it; what a running one writes does not, nor anything else.
  const std::string left = Write("p.tmp-2147483646", "");
  const std::string running = Write(absl::StrCat("p.tmp-", getpid()), "");
  const std::string other = Write("p.tmp-x", "");
  ASSERT_TRUE(RemoveResumeFile(path).ok());
  ASSERT_TRUE(RemoveResumeFile(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(running));
  EXPECT_TRUE(std::filesystem::exists(other));
}

}  // namespace
}  // namespace stele::client::cli
