// Every decoder of bytes that somebody else wrote, as functions that take any bytes.
//
// A target ends the process where a promise of the decoder is broken: most of all, that what it
// accepts is written again to the same bytes.
//
// Thread safety: none; targets that read files use one of their own.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace stele::fuzz {

struct Target {
  std::string_view name;  // also the folder of its corpus
  // Whether the bytes were accepted.
  bool (*run)(std::string_view bytes);
  // How many executions are worth one of the cheapest: those of the long form are divided by it.
  unsigned cost;
};

// Of index/ and storage/; of server/ and client/.
std::span<const Target> IndexTargets();
std::span<const Target> DoorTargets();
// Ends the process and says where.
void Demand(bool condition, const char* what);

// A file under a name of this process's own, with these bytes.
std::string TemporaryFile(std::string_view bytes, std::string_view suffix);

}  // namespace stele::fuzz
