#include "server/exit_code.h"

namespace stele::server {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
      return ExitCode::kUsage;
    case absl::StatusCode::kDataLoss:
      return ExitCode::kDataLoss;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return ExitCode::kDataDirectory;
    default:
      return ExitCode::kFailure;
  }
}

std::string ExitCodeText() {
  return "  0  done; a server: stopped by SIGTERM or SIGINT, everything accepted was finished\n"
         "  1  failed while running, e.g. the address is in use or the disk is full\n"
         "  2  wrong flags or configuration, keys or certificates\n"
         "  6  data is damaged or missing, or a root did not match; says which\n"
         "  7  the data directory cannot be used: in use, not writable, of a newer format, of "
         "another "
         "log, not\n     there (--verify) or not empty (--restore)\n";
}

}  // namespace stele::server
