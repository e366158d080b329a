// If this failed: a client written from docs/protocol.md would meet an error that the page does not
// know, or wait for one that does not exist.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace stele::server {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::set<std::string> Find(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

// The first string behind a maker of errors, or behind a status code.
std::set<std::string> ReasonsInTheCode() {
  const std::regex made(
      R"re((?:\b(?:BadField|TooLong)\(|OutOfRange\(\s*engine,|Code::k\w+,|\bcode\(\),))re"
      R"re(\s*"([A-Z][A-Z0-9_]+)")re");
  std::set<std::string> reasons;
  for (const fs::directory_entry& entry : fs::directory_iterator(STELE_SOURCE_DIR "/server")) {
    if (entry.path().extension() != ".cc") continue;
    reasons.merge(Find(ReadFile(entry.path()), made));
  }
  return reasons;
}

TEST(ProtocolDocument, ListsEveryReasonAndNoOther) {
  const std::string page = ReadFile(STELE_SOURCE_DIR "/docs/protocol.md");
  const size_t errors = page.find("## Errors");
  const size_t limits = page.find("## Limits");
  ASSERT_NE(errors, std::string::npos);
  ASSERT_NE(limits, std::string::npos);
  // The second column of the first table.
  const std::string section = page.substr(errors, page.find("Metadata", errors) - errors);
  std::string cells;
  for (const std::string& cell : Find(section, std::regex(R"(\n\|[^|\n]*\|([^|\n]*)\|)"))) {
    cells += cell + "\n";
  }
  const std::set<std::string> listed =
      Find(cells, std::regex(R"(\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{4,})\b)"));
  const std::set<std::string> made = ReasonsInTheCode();
  EXPECT_GT(made.size(), 60u);
  EXPECT_THAT(listed, ::testing::ContainerEq(made));
}

}  // namespace
}  // namespace stele::server
