// `audit diverge`.
#include <sys/stat.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/context.h"
#include "client/cli/diverge.h"
#include "client/cli/table.h"

namespace stele::client::cli {
namespace {

struct DivergeArguments {
  std::string a;
  std::string b;
};

// A file is a snapshot; anything else is an address.
absl::StatusOr<TreeSource> SourceOf(const Context& context, const std::string& side) {
  struct stat info {};
  if (stat(side.c_str(), &info) == 0 && S_ISREG(info.st_mode)) return SnapshotTrees(side);
  if (side.find('/') != std::string::npos) {
    return absl::NotFoundError(absl::StrCat(side, ": there is no such file"));
  }
  Context other = context;
  other.address = side;
  absl::StatusOr<Client> client = other.Connect();
  if (!client.ok()) return client.status();
  return ServerTrees(*std::move(client));
}

absl::Status RunDiverge(const Context& context, const DivergeArguments& arguments) {
  const absl::StatusOr<TreeSource> a = SourceOf(context, arguments.a);
  if (!a.ok()) return a.status();
  const absl::StatusOr<TreeSource> b = SourceOf(context, arguments.b);
  if (!b.ok()) return b.status();
  const absl::StatusOr<Divergence> found = FindDivergence(*a, *b);
  if (!found.ok()) return found.status();
  const bool same = found->kind == Divergence::Kind::kNone;
  Json json;
  json["same"] = same;
  json["difference"] = DivergenceKindName(found->kind);
  json["collection"] = found->collection;
  json["id"] = found->id;
  json["key"] = Hex(found->key);
  json["a"] = PositionToJson(found->a);
  json["b"] = PositionToJson(found->b);
  json["exchanges"] = found->exchanges;
  std::string text =
      absl::StrCat("A: ", PositionToText(found->a), "\nB: ", PositionToText(found->b), "\n");
  if (same) {
    absl::StrAppend(&text, "the same collections with the same records\n");
  } else {
    absl::StrAppend(&text, "first difference: ", DivergenceKindName(found->kind), ", collection ",
                    Printable(found->collection, 128));
    if (!found->id.empty()) absl::StrAppend(&text, ", record ", Printable(found->id, 256));
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text, found->exchanges, " exchanges\n");
  context.Print(json, text);
  return same ? absl::OkStatus() : absl::DataLossError("the states differ");
}

}  // namespace

void AddDivergeCommand(CLI::App* audit, Context* context) {
  auto arguments = std::make_shared<DivergeArguments>();
  CLI::App* command = AddCommand(
      audit, "diverge",
      "Where two servers, or a server and a snapshot file, differ; exit code 6 if they do");
  command->add_option("A", arguments->a, "Address HOST:PORT, or a snapshot file")->required();
  command->add_option("B", arguments->b, "The same")->required();
  SetRun(command, context, [arguments](Context& c) { return RunDiverge(c, *arguments); });
}

}  // namespace stele::client::cli
