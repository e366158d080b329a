// If these fail, damage that ends the probe's process is not reported, or is reported as health.
#include "storage/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/storage/testing.h"

namespace stele::storage {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ProbeResultTest, RoundTrip) {
  const ProbeReport report{TestLogId(), 5, 100, 90, 60};
  const std::string text = EncodeProbeResult(report);
  ASSERT_TRUE(DecodeProbeResult(text).has_value());
  EXPECT_EQ(**DecodeProbeResult(text), report);
  for (const absl::Status& status :
       {absl::DataLossError("two\nlines \\ \"quoted\" \x01\xff"), absl::NotFoundError("")}) {
    const std::string bad = EncodeProbeResult(status);
    ASSERT_TRUE(DecodeProbeResult(bad).has_value()) << bad;
    EXPECT_EQ(DecodeProbeResult(bad)->status(), status);
  }
}

TEST(ProbeResultTest, NothingElseIsAResult) {
  for (const std::string& good : {EncodeProbeResult(ProbeReport{TestLogId(), 5, 100, 90, 60}),
                                  EncodeProbeResult(absl::DataLossError("message"))}) {
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_FALSE(DecodeProbeResult(good.substr(0, size)).has_value()) << size;
    }
    EXPECT_FALSE(DecodeProbeResult(good + "x").has_value());
    EXPECT_FALSE(DecodeProbeResult("x" + good).has_value());
  }
  EXPECT_FALSE(DecodeProbeResult("stele-probe 1\nstatus 0 fine\nend\n").has_value());
  EXPECT_FALSE(DecodeProbeResult("stele-probe 1\nstatus 99 what\nend\n").has_value());
}

class ProbeChildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto journal = Journal::Create(Options(), TestLogId(), 0);
    ASSERT_TRUE(journal.ok()) << journal.status();
    ASSERT_TRUE(AppendTestEntries(**journal, 0, 10).ok());
  }

  Journal::Options Options() {
    Journal::Options options;
    options.directory = directory_ / "data";
    options.probe_path = STELE_PROBE;
    return options;
  }

  // A program that does what the shell commands say.
  std::string Script(const std::string& commands) {
    const std::string path = directory_ / "probe.sh";
    WriteFile(path, "#!/bin/sh\n" + commands + "\n");
    chmod(path.c_str(), 0755);
    return path;
  }

  absl::Status ScriptStatus(const std::string& commands) {
    return ProbeInChild(Script(commands), directory_ / "data", 3).status();
  }

  TemporaryDirectory directory_;
};

TEST_F(ProbeChildTest, SameAsInProcess) {
  for (const uint64_t check_from : {0u, 4u, 10u, 99u}) {
    const auto child = ProbeInChild(STELE_PROBE, directory_ / "data", check_from);
    const auto here = Probe(directory_ / "data", check_from, nullptr);
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(*child, *here);
    EXPECT_EQ(child->entries_checked, 10 - std::min<uint64_t>(check_from, 10));
    EXPECT_EQ(child->next_index, 10u);
    EXPECT_EQ(child->watermark_next_index, 10u);
  }
  std::filesystem::remove(directory_ / "data/watermark");
  const auto child = ProbeInChild(STELE_PROBE, directory_ / "data", 0);
  EXPECT_EQ(child.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(child.status(), Probe(directory_ / "data", 0, nullptr).status());
  EXPECT_EQ(Journal::Open(Options(), 0).status(), child.status());
}

TEST_F(ProbeChildTest, OpensThroughTheChild) {
  auto journal = Journal::Open(Options(), 0);
  ASSERT_TRUE(journal.ok()) << journal.status();
  ExpectTestEntries(**journal, 0, 9);
}

TEST_F(ProbeChildTest, AnAbortIsDataLossWithItsWords) {
  for (const std::string signal : {"ABRT", "SEGV", "BUS"}) {
    const absl::Status status =
        ScriptStatus("echo assertion failed here >&2; kill -" + signal + " $$");
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("assertion failed here"), HasSubstr(directory_ / "data")));
  }
  Journal::Options options = Options();
  options.probe_path = Script("kill -ABRT $$");
  EXPECT_EQ(Journal::Open(options, 0).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ProbeChildTest, AKilledProbeSaysNothingAboutTheData) {
  EXPECT_EQ(ScriptStatus("kill -KILL $$").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ScriptStatus("kill -TERM $$").code(), absl::StatusCode::kInternal);
}

TEST_F(ProbeChildTest, NoResultIsNotHealth) {
  // Quoted for the shell: the build directory may have a space in its name.
  const std::string kProbe = "'" + std::string(STELE_PROBE) + "'";
  EXPECT_EQ(ScriptStatus("exit 0").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ScriptStatus("exit 3").code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ScriptStatus("echo stele-probe 1").code(), absl::StatusCode::kInternal);
  // A good result before a bad end is none.
  EXPECT_EQ(ScriptStatus(kProbe + " \"$1\" \"$2\"; kill -ABRT $$").code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(ScriptStatus(kProbe + " \"$1\" \"$2\"; exit 1").code(), absl::StatusCode::kInternal);
  // Much noise neither blocks the child nor hides its result.
  EXPECT_TRUE(ScriptStatus("head -c 1000000 /dev/zero >&2; " + kProbe + " \"$1\" \"$2\"").ok());
}

TEST_F(ProbeChildTest, CannotBeRun) {
  const auto missing = ProbeInChild(directory_ / "nothing", directory_ / "data", 0);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(directory_ / "nothing"));
}

}  // namespace
}  // namespace stele::storage
