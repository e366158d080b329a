// Keys as they are given on the command line: themselves, or in a file.
//
// Thread-safe: independent calls are independent.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "index/cosignature.h"
#include "index/proof_text.h"

namespace stele::client::cli {

// A verifier key, or the path of a file that holds one. Errors are usage errors.
absl::StatusOr<index::VerifierKey> ReadKeyArgument(const std::string& given);
// The same for the key of a witness.
absl::StatusOr<index::WitnessKey> ReadWitnessArgument(const std::string& given);

}  // namespace stele::client::cli
