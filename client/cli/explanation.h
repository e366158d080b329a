// How a search was answered, as `search --explain` prints it.
//
// Shows what the server says and computes no more than shares; a server that explains nothing is
// told as such. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "client/cli/json_values.h"
#include "stele/v1/memory_service.pb.h"

namespace stele::client::cli {

// The fields of the message; "filter_strategy" is "none", "scan", "postings" or "unknown". Null
// where there is no explanation.
Json ExplanationToJson(const v1::SearchExplanation* explanation);

// A table of rows with their share of all visible ones, and a line on the rest.
std::string ExplanationToText(const v1::SearchExplanation* explanation);

// "999 B", "1.0 KiB", "12.3 MiB", and so on.
std::string BytesToText(uint64_t bytes);

}  // namespace stele::client::cli
